"""Isolation of a sandbox's processes from the rest of the machine.

There are three levels behind one interface, `backend.Level`. The strongest level that works on this machine is used:
*bubblewrap* on Linux, *sandbox-exec* on macOS. Where neither works, *process* trains code of the catalogue. It trains code of
a model only if the user asks for it by name. Each name in brackets is the candidate in tests/hostile/candidates/ that tries
the attack.

Every level stops a candidate from:

- seeing our environment and open files [reads_its_own_environment, reads_the_environment_of_its_parent,
  reads_what_was_left_open]
- using more CPU or wall seconds than allowed [sums_a_huge_range, loops_in_a_regular_expression, sleeps_for_ever]
- using more memory [allocates_fifty_gigabytes, allocates_shared_memory, allocates_in_many_processes]
- starting more processes [forks_without_end, forks_children_that_fork, forks_when_it_is_asked]
- writing or printing more bytes [fills_the_disk, makes_a_million_files, makes_a_deep_tree, makes_a_sparse_terabyte,
  prints_a_gigabyte]
- living on after its time [forks_twice_and_detaches, ignores_signals, stops_what_watches_it, hides_what_it_writes]
- stopping the processes that watch it [kills_its_parent, kills_its_group, kills_its_parent_when_it_is_asked, floods_who_asks_it,
  lowers_its_parents_limits]
- ending early and counting as ok [leaves_at_once, leaves_when_it_is_asked, calls_sys_exit, dies_of_a_segfault,
  raises_in_a_thread]
- falsifying what the verifier reads [links_its_folder_to_another, links_its_files_to_others, leaves_a_fifo_for_its_result,
  leaves_a_poisoned_pickle, replaces_what_saves, waits_for_the_verifier, prints_escape_sequences]

*bubblewrap* also stops a candidate from the following; *process* does not:

- reading the user's files, the run, the held-out text [reads_the_home_folder, reads_the_run_folder, reads_the_project,
  reads_the_held_out_data, reads_the_plays_where_they_are_installed, loads_a_shared_object]
- using the network, names, sockets of other processes [opens_connections, resolves_names, asks_the_catalogue,
  asks_the_metadata_address, talks_to_sockets_of_other_processes, opens_strange_sockets]
- inspecting other processes, or stopping them [reads_the_environment_of_all_above_it, kills_everything,
  reads_the_environment_of_its_neighbours, traces_its_parent, copies_the_memory_of_its_parent,
  opens_the_memory_of_its_parent, takes_the_launchers_descriptors]
- leaving data that outlives a process [leaves_notes_for_the_next_pass, leaves_shared_memory, leaves_keys_in_the_kernel]
- writing elsewhere [writes_to_system_folders, fills_the_temporary_folders, makes_files_that_stay, writes_to_proc,
  writes_to_sys]
- using resources that are not counted [holds_deleted_files_open, hides_memory_in_nameless_files, starts_threads_without_end]
- using rights of root and uncommon kernel interfaces [changes_its_user, raises_its_limits, makes_namespaces,
  mounts_file_systems, opens_devices, reads_the_kernels_log, uses_io_uring, calls_the_kernels_wider_surface]

*sandbox-exec* is written to stop attacks on files, the network and other processes. It has not been tested on a Mac.
No level stops an exploit of the kernel or a timing side channel.
"""

from evo.errors import EvoError
from evo.trainer.isolation import cgroups, process
from evo.trainer.isolation.backend import Cell, Level, Order
from evo.trainer.isolation.bubblewrap import Bubblewrap
from evo.trainer.isolation.process import Process
from evo.trainer.isolation.seatbelt import SandboxExec

__all__ = ["LEVELS", "Cell", "Level", "Order", "choose", "clear_leftovers", "level", "strongest"]

LEVELS: tuple[Level, ...] = (Process(), SandboxExec(), Bubblewrap())
"""From weakest to strongest."""


def level(name: str) -> Level:
    """Return the level called `name`."""
    return next(level for level in LEVELS if level.name == name)


def strongest() -> Level:
    """Return the strongest level that works on this machine."""
    return next(level for level in reversed(LEVELS) if not level.missing())


def choose(asked: str, *, trusted: bool) -> Level:
    """Return the level with the given name, or the strongest level that works on this machine.

    Args:
        asked: Name of a level, or "auto".
        trusted: Whether all code comes from the built-in catalogue.

    Raises:
        EvoError: The named level does not work on this machine. Or `asked` is "auto", the code is not trusted and only
            *process* works.
    """
    if asked != "auto":
        found = level(asked)
        if why := found.missing():
            raise EvoError(f"isolation {asked} was asked for: {why}", hint="evo doctor", kind="isolation")
        return found
    found = strongest()
    if found.name == "process" and not trusted:
        why = "; ".join(level.missing() for level in LEVELS[1:])
        raise EvoError(
            f"code from a model would be trained with no stronger isolation than a process of your own user ({why})",
            hint="install that, or --isolation process to say that you accept it",
            kind="isolation",
        )
    return found


def clear_leftovers() -> int:
    """Remove control groups and scratch folders of killed owners on this machine. Return the number of scratch folders."""
    cgroups.clear_leftovers()
    return process.clear_leftovers()
