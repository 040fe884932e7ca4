from __future__ import annotations

import pytest

from ram.datasets import make_source
from ram.io.redact import holds_secret, redacted


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://ml:hunter2@db:5432/mlflow", "postgresql://ml:***@db:5432/mlflow"),
        ("https://host/a.tar?sig=abc%2B&se=2030", "https://host/a.tar?sig=***&se=***"),
        ("https://:token@host/x", "https://:***@host/x"),
        ("s3://bucket/key.tar", "s3://bucket/key.tar"),
        ("sqlite:////home/a@b/x.db", "sqlite:////home/a@b/x.db"),
        ("data/shard-?.tar", "data/shard-?.tar"),
        ("http://host:4200/api", "http://host:4200/api"),
    ],
)
def test_what_is_secret_in_an_address_is_hidden_and_the_rest_stays(address: str, shown: str) -> None:
    assert redacted(address) == shown
    assert holds_secret(address) == (shown != address)


def test_a_source_whose_address_holds_a_secret_is_refused_without_showing_it_and_a_variable_is_taken() -> None:
    with pytest.raises(
        ValueError, match=r"path of source web .* put the address into an environment variable"
    ) as caught:
        make_source({"name": "web", "kind": "webdataset", "path": "https://h/a.tar?sig=hunter2"})
    assert "hunter2" not in str(caught.value)
    make_source({"name": "web", "kind": "webdataset", "path": "https://me:$PASSWORD@h/a.tar"})
