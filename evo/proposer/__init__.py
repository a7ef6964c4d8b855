"""The proposer's side: the prompt that is sent, the endpoint that answers, the files that its answer holds."""
