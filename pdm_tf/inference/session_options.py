"""Session options, chosen by measurement, and the memory that CPU sessions share.

EDSR-baseline x4, one tile, CPU, onnxruntime 1.26; peak resident memory of the process,
of which 72 MB before the first run:

| allocator | memory pattern | tile 128 | 192 | 256 | time |
|---|---|---|---|---|---|
| arena as it comes (doubling) | on (default) | 506 MB | | | 1.00 |
| arena as it comes | off | 339 MB | | 1132 MB | 1.01 |
| arena, same as requested | off | 254 MB | 484 MB | 800 MB | 1.00 |
| no arena | on | 314 MB | | | 1.12 |
| no arena | off | 378 MB | | | 1.13 |

So the CPU gets an arena that grows by what is asked for, and no memory pattern (which
plans one block for all of a run's tensors, as if none of them ended). An arena keeps
what it has once needed; when the shape changes it is told to give back what is free.
"""

import contextlib
from types import ModuleType
from typing import Any

from pdm_tf.inference.ort import FATAL, WARNING, native_errors

_arena_made = False


def session_options(ort: ModuleType, *, threads: int, spinning: bool, gpu: bool) -> Any:
    """Returns `SessionOptions`.

    Args:
      ort: onnxruntime.
      threads: of the CPU part.
      spinning: whether idle threads keep their core busy.
      gpu: whether a GPU is to be tried: then what is said about it is logged.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = False
    options.log_severity_level = WARNING if gpu else FATAL
    entries = {
        "session.record_ep_graph_assignment_info": "1",
        "session.intra_op.allow_spinning": str(int(spinning)),
        "session.use_env_allocators": "1",
    }
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    _register_arena(ort)
    return options


def release_unused(ort: ModuleType) -> Any:
    """Returns `RunOptions` that give the arena's free memory back after the run."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _register_arena(ort: ModuleType) -> None:
    """Makes the CPU arena that sessions with `use_env_allocators` share."""
    global _arena_made
    if _arena_made:
        return
    settings = ort.OrtArenaCfg(
        {
            "arena_extend_strategy": 1,  # kSameAsRequested
            "initial_chunk_size_bytes": 1 << 20,
            "max_dead_bytes_per_chunk": 1 << 20,
        }
    )
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    # Somebody else in this process may have registered one: then that is used.
    with contextlib.suppress(*native_errors()):
        ort.create_and_register_allocator(memory, settings)
    _arena_made = True
