"""Archives are what was published, or they are refused with the reason."""

import zipfile

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.data.archives import find_archive, open_archive, read_file
from pdm_tf.data.paper_sets import PAPER_SETS, Archive
from tests.unit.data.published import HR, members, numbered, png, write_zip

SMALL = Archive(
    names=("set.zip", "other-name.zip"),
    holds="4 photographs",
    count=4,
    pattern=r"(\d{4})x4\.png",
    numbers=(3, 6),
    folders=("set/X4",),
)
VERSIONS = Archive(
    names=("wild.zip",),
    holds="2 times 2 photographs",
    count=4,
    pattern=r"(\d{4})w([12])\.png",
    numbers=(1, 2),
    versions=("1", "2"),
)
COUNTED = Archive(names=("phone.zip",), holds="3 photographs", count=3)
GOOD = members("set/X4/", numbered(3, 6, "x4"), HR)


def refused(archive, path, message):
    with pytest.raises(UserError, match=message) as caught:
        open_archive(archive, path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_names_sizes_and_bytes_of_a_good_one(tmp_path):
    files = open_archive(SMALL, write_zip(tmp_path / "set.zip", GOOD))
    assert sorted(files) == numbered(3, 6, "x4")
    assert {read_file(file) for file in files.values()} == {png(HR)}
    assert {file.size for file in files.values()} == {len(png(HR))}


def test_files_added_by_the_system_are_ignored(tmp_path):
    junk = {
        "set/": b"",
        "__MACOSX/set/X4/._0003x4.png": b"?",
        "set/.DS_Store": b"?",
        "set/readme.txt": b"?",
    }
    path = write_zip(tmp_path / "set.zip", {**junk, **GOOD})
    assert len(open_archive(SMALL, path)) == 4


def test_missing_images_are_named_in_ranges(tmp_path):
    content = {k: v for k, v in GOOD.items() if "0004" not in k and "0005" not in k}
    path = write_zip(tmp_path / "set.zip", content)
    told = refused(SMALL, path, "4 photographs. Received: 2 images")
    assert "missing: 0004-0005\n" in told and "Download set.zip again" in told


def test_a_missing_version_is_missing(tmp_path):
    content = members("", ["0001w1.png", "0001w2.png", "0002w2.png"], HR)
    told = refused(VERSIONS, write_zip(tmp_path / "a.zip", content), "3 images")
    assert "missing: 0002\n" in told


def test_images_that_were_not_published_are_named(tmp_path):
    more = members("set/X4/", ["0003x2.png", "0007x4.png"], HR)
    path = write_zip(tmp_path / "set.zip", {**GOOD, **more})
    told = refused(SMALL, path, "Received: 6 images")
    assert "not among those published: 0003x2.png, 0007x4.png\n" in told


def test_unknown_names_are_counted_and_gaps_in_numbers_named(tmp_path):
    path = write_zip(tmp_path / "a.zip", members("", ["7.png", "9.png"], HR))
    assert "missing: 0008\n" in refused(COUNTED, path, "Received: 2 images")
    path = write_zip(tmp_path / "b.zip", members("", ["a.png", "b.png"], HR))
    assert "missing" not in refused(COUNTED, path, "Received: 2 images")
    path = write_zip(tmp_path / "c.zip", members("", ["a1.png", "b1.png"], HR))
    refused(COUNTED, path, "Received: 2 images")
    path = write_zip(tmp_path / "d.zip", members("", numbered(1, 4), HR))
    refused(COUNTED, path, "Received: 4 images")


def test_one_image_in_two_folders_is_refused(tmp_path):
    content = {**GOOD, "set/more/0003x4.png": png(HR)}
    refused(SMALL, write_zip(tmp_path / "set.zip", content), "0003x4.png twice")


@pytest.mark.parametrize(
    "name",
    [
        "../0003x4.png",
        "/0003x4.png",
        "set/../../0003x4.png",
        "..\\0003x4.png",
        "\\0003x4.png",
        "C:/0003x4.png",
        "../readme.txt",
    ],
)
def test_paths_that_lead_outside_are_refused(tmp_path, name):
    path = write_zip(tmp_path / "set.zip", {**GOOD, name: png(HR)})
    refused(SMALL, path, "leads outside. Nothing was taken from it")


def test_links_are_refused(tmp_path):
    path = write_zip(tmp_path / "set.zip", GOOD)
    with zipfile.ZipFile(path, "a") as file:
        link = zipfile.ZipInfo("set/X4/0009x4.png")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    refused(SMALL, path, "a link")


def test_encrypted_files_are_refused(tmp_path):
    path = write_zip(tmp_path / "set.zip", GOOD)
    data = bytearray(path.read_bytes())
    entry = data.find(b"PK\x01\x02")  # of the central directory; flags at 8
    data[entry + 8] |= 1
    path.write_bytes(data)
    refused(SMALL, path, "an encrypted file")


@pytest.mark.parametrize("keep", [0, 10, 0.5, -5])
def test_truncated_files_are_refused(tmp_path, keep):
    path = write_zip(tmp_path / "set.zip", GOOD)
    data = path.read_bytes()
    end = int(len(data) * keep) if isinstance(keep, float) else keep
    path.write_bytes(data[:end])
    refused(SMALL, path, "truncated or something else.*Download it again")


def test_damaged_bytes_are_noticed(tmp_path):
    path = write_zip(tmp_path / "set.zip", GOOD)
    data = path.read_bytes()
    at = data.find(png(HR)) + 40
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    files = open_archive(SMALL, path)
    with pytest.raises(UserError, match="0003x4.png in .*set.zip is damaged"):
        read_file(files["0003x4.png"])


def test_an_extracted_folder_holds_the_same(tmp_path):
    for name, data in GOOD.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    # What was extracted beside it does not disturb.
    (tmp_path / "set/X2").mkdir()
    (tmp_path / "set/X2/0003x2.png").write_bytes(png(HR))
    place = find_archive(SMALL, tmp_path)
    assert place == tmp_path / "set/X4"
    files = open_archive(SMALL, place)
    assert {read_file(file) for file in files.values()} == {png(HR)}
    (place / "0004x4.png").write_bytes(png(HR)[:50])
    files = open_archive(SMALL, place)
    with pytest.raises(UserError, match="0004x4.png.*Extract the archive again"):
        read_file(files["0004x4.png"])


def test_where_archives_are_found(tmp_path):
    assert find_archive(SMALL, tmp_path) is None
    (tmp_path / "other-name").mkdir()
    assert find_archive(SMALL, tmp_path) == tmp_path / "other-name"
    zipped = write_zip(tmp_path / "other-name.zip", GOOD)
    assert find_archive(SMALL, tmp_path) == zipped


def test_rows_say_what_table_1_says():
    """Used for training and validation, from table 1 of the paper."""
    table = {
        "ntire2017_track2": (400, 400, 100, 100),
        "ntire2018_track2": (400, 400, 100, 100),
        "ntire2018_track4": (1600, 400, 100, 100),
        "ntire2020_track1": (2650, 800, 100, 100),
        "ntire2020_track2": (2229, 800, 100, 0),
    }
    assert set(table) == set(PAPER_SETS)
    for name, (lr, hr, val_lr, val_hr) in table.items():
        counts = {part.place: part.count for part in PAPER_SETS[name].parts}
        assert (counts["train/lr"], counts["train/hr"]) == (lr, hr)
        assert (counts["val/lr"], counts.get("val/hr", 0)) == (val_lr, val_hr)
        for part in PAPER_SETS[name].parts:
            assert f"{part.archive.count} " in part.archive.holds
