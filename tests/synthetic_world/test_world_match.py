"""A match: teams, numbers, roles; and numbers read back from pixels."""

import json
from pathlib import Path

import numpy as np
import pytest

from synthetic_world import crops
from synthetic_world import materials as m
from synthetic_world.camera import Camera
from synthetic_world.crops import PERSON, CropTask, render_crop
from synthetic_world.crowd import OUTFITS
from synthetic_world.digits import ASPECT, BACK_HEIGHT, BITMAPS, FRONT_HEIGHT, GAP, digit_ink
from synthetic_world.export import MotOptions, ReidOptions, plan_reid, write_mot, write_reid
from synthetic_world.frames import SequenceTask, render_frame, sequence_scene
from synthetic_world.levels import get_level
from synthetic_world.match import CAST, MATCH, SQUAD, STREET, make_member, role_of, shirt_numbers, team_kits
from synthetic_world.patterns import albedo
from synthetic_world.person import make_person
from synthetic_world.place import make_place
from synthetic_world.pose import CHEST, PELVIS
from synthetic_world.render import full_view, render
from synthetic_world.scene import Stand, dressed, gather
from synthetic_world.seeds import rng_for
from synthetic_world.shadows import add_people, draw_still_maps
from synthetic_world.sheet import contact_sheet

LEVEL = get_level("medium")
CAMERA = Camera((-6.0, 0.0, 1.4), 0.0, 0.0, 1600.0, 480, 640)


def expected_ink(number: int, height: float, size: float) -> np.ndarray:
    """The number from the bitmaps, put together by hand: pixels of that size in metres."""
    rows = round(height / size)
    wide = round(ASPECT * height / size)
    cells = [BITMAPS[int(digit)][np.arange(rows) * 10 // rows][:, np.arange(wide) * 6 // wide] for digit in str(number)]
    gap = np.zeros((rows, round(GAP * wide)), np.uint8)
    return np.concatenate([cells[0], gap, cells[1]], 1) if len(cells) == 2 else cells[0]


@pytest.mark.parametrize("number", [0, 1, 7, 10, 42, 58, 63, 99])
def test_digits_are_those_of_the_bitmaps(number: int) -> None:
    height, size = 0.2, 0.001
    want = expected_ink(number, height, size)
    across = (np.arange(want.shape[1]) + 0.5) * size - want.shape[1] * size / 2
    down = (np.arange(want.shape[0]) + 0.5) * size - height / 2
    got = np.array([[digit_ink(number, x, y, height) for x in across] for y in down])
    assert (got != want).mean() < 0.02
    assert digit_ink(number, 0.0, 0.51 * height, height) == digit_ink(number, 0.5, 0.0, height) == 0


def test_digits_differ_from_each_other() -> None:
    for one in range(10):
        for other in range(one):
            assert (BITMAPS[one] != BITMAPS[other]).sum() >= 4


def test_shirts_show_the_number_to_who_stands_behind_and_in_front() -> None:
    row = m.material((0.2, 0.2, 0.2))
    row[m.STRAP], row[m.STRAP_COLOUR] = m.number_on(m.ON_SHIRT, 27, 0.3), 1.0
    for side, height, middle in ((-1.0, BACK_HEIGHT, 0.3), (1.0, FRONT_HEIGHT, 0.33)):
        want = expected_ink(27, height, 0.002)
        # A reader behind has the person's left at the left, one in front has it at the right.
        across = (np.arange(want.shape[1]) + 0.5 - want.shape[1] / 2) * 0.002
        down = (np.arange(want.shape[0]) + 0.5 - want.shape[0] / 2) * 0.002
        got = np.array([[albedo(row, 0.1 * side, side * x, middle - y)[0] > 0.5 for x in across] for y in down])
        assert (got != want).mean() < 0.05


@pytest.mark.parametrize(("seed", "slot"), [(0, 4), (0, 5), (1, 8), (2, 11)])
def test_numbers_can_be_read_on_rendered_backs(seed: int, slot: int) -> None:
    person, _ = dressed(seed, slot, LEVEL, crowd=MATCH)
    assert person.shirt is not None and person.outfit.digits is not None
    group = gather(seed, LEVEL, [Stand(slot, (0.0, 0.0), 0.0, 0.0, 0.0)], MATCH)
    place = make_place(rng_for(0, "test place"), 6.0, np.array([[-6.0, 0.0]]), 0.5, pitch=True)
    maps = add_people(
        draw_still_maps(place.things, place.light[:3], np.zeros(2), 5.0, 10.0), group.shown(), place.light[:3]
    )
    table = group.materials.copy()
    table[3, m.CODE], table[3, m.COLOUR_A], table[3, m.COLOUR_B] = m.PLAIN, 0.0, 0.0  # ink alone has colour
    table[3, m.STRAP_COLOUR] = 1.0
    view = render(CAMERA, full_view(CAMERA), group.shown(), 1, table, place, maps)
    # Points of the body that are seen, in the frame of the chest.
    rows, columns = np.nonzero(view.people == 0)
    rays = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], 1) @ np.linalg.inv(CAMERA.to_pixels).T
    points = np.array(CAMERA.position) + view.depth[rows, columns, None] * rays
    local = (points - group.poses[0].joints[PELVIS]) @ group.poses[0].frames[CHEST]
    down = 0.62 * person.size.torso - local[:, 2]
    near = (np.abs(local[:, 1]) < 0.15) & (np.abs(down) < 0.6 * BACK_HEIGHT)
    ink = view.light[rows, columns].mean(1)[near] > 0.05
    agreement = [
        np.mean([found == want for found, want in zip(ink, _ink(number, local[near, 1], down[near]))])
        for number in range(100)
    ]
    assert int(np.argmax(agreement)) == person.shirt
    assert max(agreement) > 0.85  # hair may hide some


def _ink(number: int, left: np.ndarray, down: np.ndarray) -> list[bool]:
    return [digit_ink(number, -y, z, BACK_HEIGHT) > 0 for y, z in zip(left, down)]


def test_sashes_go_over_one_shoulder() -> None:
    row = m.material((0.0, 0.0, 0.0), code=m.SASH, second=(1.0, 1.0, 1.0))
    for x in (0.1, -0.1):  # in front and behind
        middles = [
            np.mean([y for y in np.linspace(-0.3, 0.3, 121) if albedo(row, x, y, z)[0] > 0.5]) for z in (0.1, 0.45)
        ]
        assert middles[0] < -0.1 and middles[1] > 0.1


def test_teammates_share_kits_and_have_numbers_of_their_own() -> None:
    for match in range(3):
        teams: dict[int, list] = {}
        for number in range(match * CAST, (match + 1) * CAST):
            person, _ = dressed(0, number, LEVEL, crowd=MATCH)
            if person.role == "player":
                assert person.outfit.team is not None
                teams.setdefault(person.outfit.team, []).append(person)
        assert sorted(teams) == [2 * match + 1, 2 * match + 2]
        for members in teams.values():
            assert len(members) == SQUAD - 1
            assert len({person.outfit for person in members}) == 1
            assert len({person.shirt for person in members}) == len(members)
            assert len({person.feminine for person in members}) == 1
            assert len({(person.size, person.skin, person.gait) for person in members}) == len(members)
        first, second = (members[0].outfit for members in teams.values())
        assert np.abs(np.subtract(first.top_colour, second.top_colour)).sum() > 0.5


def test_roles_dress_apart() -> None:
    people = {}
    for number in range(CAST):
        people.setdefault(role_of(number)[0], dressed(1, number, LEVEL, crowd=MATCH)[0])
    assert set(people) == {"goalkeeper", "player", "referee", "coach", "civilian"}
    keeper, player, referee, coach = (people[role] for role in ("goalkeeper", "player", "referee", "coach"))
    assert keeper.shirt == 1 and keeper.outfit.gloves is not None and player.outfit.gloves is None
    assert keeper.outfit.team == player.outfit.team == 1
    for kit in team_kits(1, 0):
        assert np.abs(np.subtract(keeper.outfit.top_colour, kit.top_colour)).sum() > 0.3
    assert referee.shirt is None and referee.outfit.team is None and referee.outfit.socks is not None
    assert coach.outfit.bottom == "trousers" and coach.outfit.team in (1, 2)
    assert people["civilian"].outfit == make_person(1, people["civilian"].number, LEVEL).outfit
    assert make_member(1, people["civilian"].number, LEVEL) is None
    assert all(sorted(set(shirt_numbers(0, team))) == sorted(shirt_numbers(0, team)) for team in range(1, 9))


def test_other_outfits_dress_the_whole_team_anew() -> None:
    home, away = ([dressed(0, number, LEVEL, outfit, MATCH)[0] for number in range(2, 12, 2)] for outfit in (0, 1))
    assert len({person.outfit for person in away}) == 1 and away[0].outfit != home[0].outfit
    assert [person.shirt for person in away] == [person.shirt for person in home]


def test_nobody_takes_a_bicycle_onto_the_pitch() -> None:
    civilians = [number for number in range(40 * CAST) if role_of(number)[0] == "civilian"]
    assert any(dressed(0, number, LEVEL)[0].carried != "nothing" for number in civilians)
    for outfit in range(OUTFITS):
        assert {dressed(0, number, LEVEL, outfit, MATCH)[0].carried for number in civilians} == {"nothing"}


def test_who_passes_by_is_of_the_same_match(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Stand]] = []

    def watched(seed: int, level: object, stands: list[Stand], crowd: str) -> object:
        seen.append(stands)
        return gather(seed, LEVEL, stands, crowd)

    monkeypatch.setattr(crops, "gather", watched)
    for number in range(CAST - 6, CAST + 6):
        render_crop(CropTask(0, "medium", (16, 32), Path(), "a", 1, number, PERSON, 1, 2, 1, 1, 0, 2, MATCH))
    assert sum(len(stands) > 2 for stands in seen) >= 2
    for stands in seen:
        assert len({stand.number // CAST for stand in stands}) == 1
        assert len({stand.number for stand in stands}) == len(stands)
        assert {stand.outfit for stand in stands} == {2}


def test_teams_change_their_kit_together() -> None:
    options = ReidOptions(pids=2 * CAST, cameras=3, crowd=MATCH, clothes_change=True)
    worn: dict[tuple[int, int], set[int]] = {}
    for task in plan_reid(options, Path()):
        worn.setdefault((task.number // CAST, task.sequence), set()).add(task.outfit)
    assert all(len(outfits) == 1 for outfits in worn.values())
    assert len({outfit for (match, _), outfits in worn.items() if match == 0 for outfit in outfits}) > 1
    for sequence in (1, 2):
        crowds = [
            sequence_scene(
                SequenceTask(0, "easy", sequence, 900, 12, 1, (96, 64), 1.0, clothes_change=change, crowd=MATCH)
            ).crowd
            for change in (True, False)
        ]
        for frame in (0, 100, 200):  # some have left and returned meanwhile
            changed, usual = ({stand.outfit for stand in crowd.at(frame)} for crowd in crowds)
            assert changed == {sequence} and usual == {0}


def test_crops_of_a_match_say_role_team_and_number(tmp_path: Path) -> None:
    options = ReidOptions(pids=6, cameras=2, crowd=MATCH, width=32, height=64)
    write_reid(options, tmp_path / "reid")
    found = json.loads((tmp_path / "reid" / "annotations.json").read_text())
    assert found["world"]["crowd"] == MATCH
    told: dict[int, set] = {}
    for note in found["images"]:
        if note["identity"] is not None:
            told.setdefault(note["identity"], set()).add((note["role"], note["team"], note["number"]))
    assert all(len(values) == 1 for values in told.values())  # the same in every camera
    for identity in range(1, 7):
        person, _ = dressed(0, identity, LEVEL, crowd=MATCH)
        assert told[identity] == {(person.role, person.outfit.team, person.shirt)}
    assert {(role, team) for role, team, _ in set().union(*(told[n] for n in range(1, 7)))} >= {("player", 1)}


def test_matches_are_the_same_in_any_number_of_processes(tmp_path: Path) -> None:
    options = ReidOptions(pids=3, cameras=2, crowd=MATCH, width=32, height=64, clothes_change=True)
    for processes in (1, 2):
        write_reid(options, tmp_path / str(processes), processes=processes)
    first, second = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("1", "2")
    )
    assert first and first == second


def test_frames_of_a_match_say_role_team_and_number(tmp_path: Path) -> None:
    options = MotOptions(sequences=1, frames=2, people=12, cameras=2, crowd=MATCH, width=160, height=96)
    names = write_mot(options, tmp_path / "mot")
    rows = []
    for name in names:
        found = json.loads((tmp_path / "mot" / "train" / name / "annotations.json").read_text())
        assert found["world"]["crowd"] == MATCH
        rows.append({p["identity"]: (p["role"], p["team"], p["number"]) for f in found["frames"] for p in f["people"]})
    shared = rows[0].keys() & rows[1].keys()
    assert shared and all(rows[0][key] == rows[1][key] for key in shared)
    teams = {team for row in rows for role, team, _ in row.values() if role in ("player", "goalkeeper")}
    assert len(teams) == 2


def test_the_crowd_changes_the_pictures_and_streets_have_no_teams() -> None:
    street, match = (plan_reid(ReidOptions(pids=4, cameras=2, crowd=crowd), Path())[5] for crowd in (STREET, MATCH))
    first, second = render_crop(street), render_crop(match)
    assert (first[0] != second[0]).any()
    assert first[1]["team"] is None and first[1]["number"] is None
    one, two = (
        render_frame(SequenceTask(0, "easy", 1, 2, 4, 1, (96, 64), 25.0, crowd=crowd), 1, 0)[0]
        for crowd in (STREET, MATCH)
    )
    assert (one != two).any()
    with pytest.raises(ValueError, match="crowd: got 'circus', allowed are street, match"):
        MotOptions(crowd="circus")
    with pytest.raises(ValueError, match="crowd: got 'circus'"):
        ReidOptions(crowd="circus")


def test_a_pitch_is_green_outdoors_and_stays_the_same_at_other_times() -> None:
    for seed in range(6):
        place = make_place(rng_for(seed, "test"), 5.0, np.array([[9.0, 0.0]]), 1.0, 6.0, pitch=True)
        assert place.pitch and not place.indoor
        assert place.style[2] > place.style[1] and place.style[2] > place.style[3]
        later = place.revisited(rng_for(seed, "later"), 1.0)
        assert (later.style == place.style).all() and (later.light != place.light).any()
        assert np.hypot(*place.footprints[:, :2].T).min() > 5.0
    assert not make_place(rng_for(0, "test"), 5.0, np.array([[9.0, 0.0]]), 1.0).pitch


def test_sheets_show_matches_too() -> None:
    street, match = (contact_sheet("easy", 0, 1, 2, crowd) for crowd in (STREET, MATCH))
    assert street.shape == match.shape == (128, 128, 3)
    assert (street != match).any()
    with pytest.raises(ValueError, match="people: got 0, allowed is 1 to 9998"):
        contact_sheet("easy", 0, 0, 2)
