"""``CUDA_VISIBLE_DEVICES`` in all its forms."""

from __future__ import annotations

import pytest

from hpctrack.telemetry.gpu_source import Gpu
from hpctrack.telemetry.visible_gpus import find_visible

BEGINNINGS = ("8932f937", "8a11c000", "4b2c1a9f", "d00dfeed")
REST = "-d72c-4106-c12f-20bd9faed9f6"


def make_gpu(place: int, model: str = "H100") -> Gpu:
    return Gpu(uuid=f"GPU-{BEGINNINGS[place]}{REST}", name=model, model=model)


ALIKE = [make_gpu(place) for place in range(4)]
DIFFERENT = [make_gpu(0, "H100"), make_gpu(1, "A100"), make_gpu(2, "A100"), make_gpu(3, "A100")]

DIVIDED = Gpu(uuid=f"GPU-{BEGINNINGS[1]}{REST}", name="H100", model="H100", is_sliced=True)
SLICES = [
    Gpu(
        uuid=f"MIG-{place}e0b7c1a-5175-50ef-8452-d6abb13cb1d2",
        name="1g.10gb",
        parent=DIVIDED.uuid,
        instance=place + 7,
        compute_instance=0,
    )
    for place in range(3)
]
WITH_SLICES = [ALIKE[0], DIVIDED, *SLICES, ALIKE[2]]


@pytest.mark.parametrize(
    ("listing", "places"),
    [
        (None, [0, 1, 2, 3]),
        ("", []),
        (" ", []),
        ("NoDevFiles", []),
        ("none", []),
        ("0", [0]),
        ("2,1", [2, 1]),
        ("3,2,1,0", [3, 2, 1, 0]),
        (" 1 , 3 ", [1, 3]),
        ("0,2,-1,1", [0, 2]),
        ("-1", []),
        ("-1,0", []),
        ("0,7,1", [0]),
        ("4", []),
        ("1,,2", [1]),
        ("1,", [1]),
        ("0,two,1", [0]),
        ("1gpu,2", [1, 2]),
        ("+1", [1]),
        ("0,1,0", []),
        ("1,1", []),
        (f"GPU-{BEGINNINGS[2]}{REST}", [2]),
        (f"GPU-{BEGINNINGS[2]}{REST},GPU-{BEGINNINGS[0]}{REST}", [2, 0]),
        ("GPU-4b", [2]),
        ("GPU-89,GPU-8a", [0, 1]),
        ("GPU-8", []),
        ("GPU-", []),
        ("GPU-4b,GPU-8,GPU-d", [2]),
        ("GPU-4b,GPU-4b2c", []),
        ("GPU-4b,1", [2]),
        ("1,GPU-4b", [1]),
        ("gpu-4b", []),
        ("GPU-ffff", []),
    ],
)
def test_a_list_names_the_devices_that_cuda_would_show(
    listing: str | None, places: list[int]
) -> None:
    visible = find_visible(listing, ALIKE)
    assert visible.gpus == tuple(ALIKE[place] for place in places)
    assert visible.is_order_known


@pytest.mark.parametrize(
    ("listing", "entry"),
    [("0,9,1", "9"), ("0,0", "0"), ("GPU-8", "GPU-8"), ("0,GPU-4b", "GPU-4b"), ("0,1", "")],
)
def test_the_entry_that_ends_a_list_is_told(listing: str, entry: str) -> None:
    assert find_visible(listing, ALIKE).cut_at == entry


@pytest.mark.parametrize(
    ("listing", "places"),
    [
        (SLICES[1].uuid, [1]),
        (f"{SLICES[2].uuid},{SLICES[0].uuid}", [2, 0]),
        ("MIG-1e0b", [1]),
        (f"MIG-{DIVIDED.uuid}/8/0", [1]),
        (f"MIG-{DIVIDED.uuid}/9/0,MIG-{DIVIDED.uuid}/7/0", [2, 0]),
        (f"MIG-GPU-{BEGINNINGS[1]}/7/0", [0]),
        (f"MIG-{DIVIDED.uuid}/8/1", []),
        (f"MIG-{DIVIDED.uuid}/12/0", []),
        (f"MIG-{ALIKE[0].uuid}/7/0", []),
        ("MIG-", []),
        (f"{SLICES[0].uuid},MIG-ffff,{SLICES[1].uuid}", [0]),
        (f"{SLICES[0].uuid},0", [0]),
    ],
)
def test_slices_are_named_by_uuid_in_the_new_and_in_the_old_form(
    listing: str, places: list[int]
) -> None:
    assert find_visible(listing, WITH_SLICES).gpus == tuple(SLICES[place] for place in places)


def test_a_divided_gpu_stands_for_its_first_slice() -> None:
    assert find_visible("1", WITH_SLICES).gpus == (SLICES[0],)
    assert find_visible(DIVIDED.uuid, WITH_SLICES).gpus == (SLICES[0],)
    assert find_visible("0,1,2", WITH_SLICES).gpus == (ALIKE[0], SLICES[0], ALIKE[2])


def test_a_divided_gpu_whose_slices_are_all_forbidden_is_nothing() -> None:
    assert find_visible("1,0", [ALIKE[0], DIVIDED]).gpus == ()


def test_without_a_list_all_that_can_compute_is_visible() -> None:
    assert find_visible(None, WITH_SLICES).gpus == (ALIKE[0], *SLICES, ALIKE[2])


def test_a_number_says_nothing_where_gpus_differ_and_cuda_counts_by_speed() -> None:
    visible = find_visible("1", DIFFERENT)
    assert visible.gpus == ()
    assert not visible.is_order_known


def test_a_number_is_a_place_on_the_bus_where_the_program_says_so() -> None:
    assert find_visible("2,0", DIFFERENT, device_order="PCI_BUS_ID").gpus == (
        DIFFERENT[2],
        DIFFERENT[0],
    )


def test_all_of_several_different_gpus_are_known_whatever_their_order() -> None:
    visible = find_visible("3,2,1,0", DIFFERENT)
    assert visible.gpus == tuple(DIFFERENT)
    assert not visible.is_order_known


def test_a_uuid_is_clear_wherever_gpus_differ() -> None:
    assert find_visible("GPU-8a", DIFFERENT).gpus == (DIFFERENT[1],)


def test_an_alias_names_a_gpu_too() -> None:
    gpu = Gpu(uuid="18ff73bf-0000-1000-80a5", name="MI300X", aliases=("GPU-18d501cafe",))
    assert find_visible("GPU-18d5", [gpu]).gpus == (gpu,)
    assert find_visible("0", [gpu]).gpus == (gpu,)


def test_a_machine_without_gpus_shows_none() -> None:
    for listing in (None, "", "0", "GPU-4b", "MIG-1e"):
        assert find_visible(listing, []).gpus == ()
