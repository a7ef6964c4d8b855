"""The trainer: owns one device slot, runs one isolated training at a time, and has its model scored."""
