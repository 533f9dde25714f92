"""What disks refuse is told from defects."""

import errno

import pytest

from pdm_tf.core import files, refusals


def test_what_the_disk_refuses_is_told_from_defects(tmp_path):
    refused = (
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EROFS, "Read-only file system"),
        RuntimeError("state.data: No space left on device"),  # as TensorFlow says it
    )
    assert all(refusals.refusal(error) for error in refused)
    others = (OSError(errno.EBADF, "Bad descriptor"), ValueError("No space"))
    assert not any(refusals.refusal(error) for error in others)
    with pytest.raises(OSError) as caught, files.atomic_file(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    line = f"the disk is full: {tmp_path}/a.json: No space left on device"
    assert refusals.refused(caught.value) == line
    native = "{{function_node __wrapped__SaveV2}} a/.data; No space left on device"
    said = refusals.refused(RuntimeError(f"{native} [Op:SaveV2]\nat 0x12"))
    assert said == "the disk is full: a/.data; No space left on device"
