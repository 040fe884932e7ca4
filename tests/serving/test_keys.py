from __future__ import annotations

import os
from pathlib import Path

import pytest

from ram.serving.keys import BURST_S, Keys, add_key, hash_of, read_keys
from ram.serving.limits import Refused


def _status(keys: Keys, authorization: str | None) -> int:
    try:
        keys.check(authorization)
    except Refused as refused:
        return refused.status
    return 200


def test_the_file_knows_a_key_by_its_hash_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    secret = add_key(path, "anna", rate=2.5)
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    (key,) = read_keys(path)
    assert (key.name, key.hash, key.rate) == ("anna", hash_of(secret), 2.5)
    assert Keys(path).check(f"Bearer {secret}") == key
    assert Keys(path).check(f"bearer  {secret} ") == key


def test_no_key_a_wrong_one_and_a_hash_are_turned_away(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    secret = add_key(path, "anna")
    keys = Keys(path)
    wrong = [None, "", "Bearer", "Bearer ", f"Basic {secret}", secret, f"Bearer {secret}x", f"Bearer {secret[:-1]}",
             f"Bearer {hash_of(secret)}", "Bearer ü", f"Bearer {secret} {secret}"]  # fmt: skip
    assert {_status(keys, authorization) for authorization in wrong} == {401}
    with pytest.raises(Refused) as refused:
        keys.check(None)
    assert refused.value.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_line_that_is_deleted_or_added_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first = add_key(path, "first")
    keys = Keys(path)
    second = add_key(path, "second")
    assert [_status(keys, f"Bearer {secret}") for secret in (first, second)] == [200, 200]
    path.write_text(path.read_text().splitlines()[1])
    os.utime(path, ns=(1, 1))
    assert [_status(keys, f"Bearer {secret}") for secret in (first, second)] == [401, 200]


def test_a_key_that_used_up_its_rate_waits_as_long_as_it_is_told(tmp_path: Path) -> None:
    now_s = [0.0]
    secret = add_key(tmp_path / "keys", "anna", rate=2)
    other = add_key(tmp_path / "keys", "bert")
    keys = Keys(tmp_path / "keys", clock=lambda: now_s[0])
    key = keys.check(f"Bearer {secret}")
    keys.charge(key, int(2 * BURST_S) + 3)  # three more than there were
    with pytest.raises(Refused) as refused:
        keys.check(f"Bearer {secret}")
    assert (refused.value.status, refused.value.retry_after_s) == (429, pytest.approx(2.0))
    assert refused.value.headers["Retry-After"] == "2"
    assert _status(keys, f"Bearer {other}") == 200
    now_s[0] = 1.9
    assert _status(keys, f"Bearer {secret}") == 429
    now_s[0] = 2.0
    assert _status(keys, f"Bearer {secret}") == 200


def test_over_a_long_time_a_key_gets_its_rate_and_no_more(tmp_path: Path) -> None:
    now_s = [0.0]
    secret = add_key(tmp_path / "keys", "anna", rate=4)
    keys = Keys(tmp_path / "keys", clock=lambda: now_s[0])
    taken = 0
    for tick in range(10_000):  # 100 s, a question every 10 ms, of 1 to 3 images
        now_s[0] = tick / 100
        if _status(keys, f"Bearer {secret}") == 200:
            keys.charge(keys.check(f"Bearer {secret}"), tick % 3 + 1)
            taken += tick % 3 + 1
    assert taken == pytest.approx(4 * 100 + 4 * BURST_S, abs=3)


def test_a_wrong_line_is_named_by_its_number_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    add_key(path, "anna")
    path.write_text("# who\n\n" + path.read_text() + "bert in-clear\n")
    with pytest.raises(ValueError, match=":4:") as error:
        read_keys(path)
    assert "in-clear" not in str(error.value)


def test_names_are_given_once_and_rates_are_above_nothing(tmp_path: Path) -> None:
    add_key(tmp_path / "keys", "anna")
    for name, rate in (("anna", None), ("two words", None), ("bert", 0.0)):
        with pytest.raises(ValueError):
            add_key(tmp_path / "keys", name, rate)
    assert [key.name for key in read_keys(tmp_path / "keys")] == ["anna"]
