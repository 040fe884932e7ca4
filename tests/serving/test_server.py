from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ram.serving.keys import Keys, add_key

Make = Callable[..., Any]


@pytest.fixture
def client(make_app: Make) -> Any:
    with TestClient(make_app(max_images=4, max_tags=3, max_pixels=100, max_body_bytes=20_000)) as client:
        yield client


def _ask(client: Any, *images: bytes, **data: Any) -> Any:
    return client.post("/v1/tags", files=[("image", ("p.png", image)) for image in images], data=data)


def test_an_image_gets_its_tags_over_both_forms(client: Any, make_image: Make) -> None:
    image = make_image((255, 204, 0))
    wanted = [("red", 1.0), ("green", 0.8)]
    text = base64.b64encode(image).decode()
    for answer in (_ask(client, image), client.post("/v1/tags", json={"images": [text]})):
        assert answer.status_code == 200
        assert (answer.json()["model"], answer.json()["model_version"]) == ("champion", "colors")
        (result,) = answer.json()["results"]
        assert [(tag["name"], tag["score"]) for tag in result["tags"]] == wanted
        assert result["error"] is None


def test_options_have_their_effect(client: Any, make_image: Make) -> None:
    image = make_image((255, 204, 51))
    for options, wanted in [
        ({"threshold": 0.1}, ["red", "green", "blue"]),
        ({"threshold": 0.9}, ["red"]),
        ({"threshold": 0.1, "top_k": 2}, ["red", "green"]),
        ({"tags": ["blue", "pink"], "threshold": 0}, ["blue", "pink"]),
    ]:
        tags = _ask(client, image, **options).json()["results"][0]["tags"]
        assert [tag["name"] for tag in tags] == wanted
        assert not any("place" in tag for tag in tags)
    (tag, *_) = _ask(client, image, explain="true").json()["results"][0]["tags"]
    assert tag["place"] == {"box": [0, 0, 1, 1], "cells": [[1.0]]}


def test_one_broken_image_spoils_no_other(client: Any, make_image: Make) -> None:
    answer = _ask(client, make_image("red"), b"broken", make_image("blue"), make_image(size=(11, 10)))
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [[tag["name"] for tag in result["tags"]] for result in results] == [["red"], [], ["blue"], []]
    assert "not a readable image" in results[1]["error"]
    assert "11 x 10 pixels" in results[3]["error"]


def test_a_request_of_which_no_image_can_be_read_is_422_with_the_reasons(client: Any) -> None:
    answer = _ask(client, b"broken", b"")
    assert answer.status_code == 422
    assert [bool(result["error"]) for result in answer.json()["results"]] == [True, True]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * 20_001, {"content-type": "application/json"}, 413),
        (b"{}", {"content-type": "application/json", "content-length": "99999999999"}, 413),
        (b"{}", {"content-type": "text/html"}, 415),
        (b"{}", {"content-type": "application/json"}, 422),
        (b"--b\r\n\r\n", {"content-type": "multipart/form-data; boundary=b"}, 422),
    ],
)
def test_a_request_that_asks_too_much_is_refused_in_json(
    client: Any, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = client.post("/v1/tags", content=body, headers=headers)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]


def test_a_body_that_does_not_say_how_long_it_is_is_bounded_all_the_same(client: Any) -> None:
    answer = client.post(
        "/v1/tags", content=(b"x" * 1000 for _ in range(30)), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


def test_counts_of_images_and_tags_are_bounded(client: Any, make_image: Make) -> None:
    assert _ask(client, *[make_image()] * 5).status_code == 413
    assert _ask(client, make_image(), tags=["a", "b", "c", "d"]).status_code == 422
    assert _ask(client, make_image(), tags=["?"]).status_code == 422
    assert _ask(client, make_image(), model="other").json()["error"].startswith("no model 'other'")


def test_requests_at_the_same_time_share_batches_and_get_their_own_answers(
    make_app: Make, color_model: Make, make_image: Make
) -> None:
    model = color_model()
    model.may_answer.clear()
    with TestClient(make_app(model, max_batch=8)) as client, ThreadPoolExecutor(12) as pool:
        colors = ["red", "lime", "blue"] * 4
        answers = [pool.submit(_ask, client, make_image(color)) for color in colors]
        _wait_for(client, "ram_images_waiting", 12)
        model.may_answer.set()
        names = [answer.result().json()["results"][0]["tags"][0]["name"] for answer in answers]
    assert names == ["green" if color == "lime" else color for color in colors]
    assert sum(model.batches) == 12
    assert model.batches[0] <= 8  # those that were there first; the others waited for them
    assert model.batches[1] == min(8, 12 - model.batches[0])


def _metric(client: Any, name: str) -> float:
    return float(re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)[1])


def _wait_for(client: Any, name: str, value: float) -> None:
    deadline_s = time.monotonic() + 30
    while _metric(client, name) != value:
        assert time.monotonic() < deadline_s, client.get("/metrics").text
        time.sleep(0.01)


def test_a_full_house_answers_503_with_retry_after_and_is_well_again_afterwards(
    make_app: Make, color_model: Make, make_image: Make
) -> None:
    model = color_model()
    model.may_answer.clear()
    with TestClient(make_app(model, max_waiting=4, max_images=4)) as client, ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(_ask, client, make_image()) for _ in range(4)]
        _wait_for(client, "ram_images_waiting", 4)
        refused = _ask(client, make_image())
        assert (refused.status_code, int(refused.headers["retry-after"]) >= 1) == (503, True)
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        model.may_answer.set()
        assert [answer.result().status_code for answer in waiting] == [200] * 4
        assert _ask(client, make_image()).status_code == 200
        _wait_for(client, "ram_images_waiting", 0)
        assert _metric(client, "ram_body_bytes") == 0


def test_an_answer_that_takes_too_long_is_503_and_leaves_nothing_behind(
    make_app: Make, color_model: Make, make_image: Make
) -> None:
    model = color_model()
    model.may_answer.clear()
    with TestClient(make_app(model, timeout_s=0.2)) as client:
        late = _ask(client, make_image())
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        _wait_for(client, "ram_images_waiting", 0)
        model.may_answer.set()
        assert _ask(client, make_image()).status_code == 200


def test_all_bodies_together_are_bounded(make_app: Make) -> None:
    with TestClient(make_app(max_buffered_bytes=1000)) as client:
        answer = client.post("/v1/tags", content=b"x" * 1001, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert _metric(client, "ram_body_bytes") == 0


def test_keys_guard_what_costs_and_what_tells(make_app: Make, make_image: Make, tmp_path: Path) -> None:
    secret = add_key(tmp_path / "keys", "anna", rate=0.5)
    with TestClient(make_app(keys=Keys(tmp_path / "keys"))) as client:
        for headers in ({}, {"authorization": f"Bearer {secret[:-1]}"}):
            client.headers.update(headers)
            for path in ("/v1/labels", "/v1/models", "/metrics"):
                assert client.get(path).status_code == 401
            refused = _ask(client, make_image())
            assert (refused.status_code, refused.headers["www-authenticate"][:6]) == (401, "Bearer")
        for path in ("/", "/healthz", "/readyz", "/openapi.json"):
            assert client.get(path).status_code == 200
        client.headers["authorization"] = f"Bearer {secret}"
        assert client.get("/v1/labels").status_code == 200
        assert _ask(client, *[make_image()] * 4).status_code == 200
        used_up = _ask(client, make_image())
        assert used_up.status_code == 429
        assert int(used_up.headers["retry-after"]) >= 1


def test_a_failure_of_ours_is_500_without_a_word_of_our_code(
    make_app: Make, color_model: Make, make_image: Make
) -> None:
    model = color_model()
    model.tag = lambda images, options: 1 / 0
    with TestClient(make_app(model), raise_server_exceptions=False) as client:
        answer = _ask(client, make_image())
        assert answer.status_code == 500
        assert answer.json() == {"error": "the server failed; its log says why"}
        assert client.get("/healthz").status_code == 200


def test_paths_lead_to_no_file(client: Any) -> None:
    for path in ("/page/", "/page/../server.py", "/page/%2e%2e/server.py", "/page/..%2fserver.py", "//etc/passwd",
                 "/page/main.js/../../keys.py", "/page/main.js%00", "/static/index.html", "/docs", "/redoc"):  # fmt: skip
        answer = client.get(path)
        assert (answer.status_code, list(answer.json())) == (404, ["error"]), path
    assert client.put("/v1/tags").status_code == 405


def test_the_metrics_count_what_happened_and_strangers_add_no_series(client: Any, make_image: Make) -> None:
    _ask(client, make_image(), b"broken")
    for i in range(3):
        client.get(f"/stranger-{i}")
    assert _metric(client, 'ram_requests_total{route="/v1/tags",status="200"}') == 1
    assert _metric(client, 'ram_requests_total{route="other",status="404"}') == 3
    assert _metric(client, 'ram_images_total{key=""}') == 2
    assert _metric(client, "ram_images_refused_total") == 1
    assert _metric(client, "ram_batch_images_count") == 1
    assert _metric(client, 'ram_model_info{model="champion",version="colors"}') == 1
    assert "stranger" not in client.get("/metrics").text


def test_labels_and_models_of_either_name(make_app: Make, color_model: Make) -> None:
    with TestClient(make_app(challenger=color_model(Path("other"), "other"))) as client:
        assert client.get("/v1/models").json() == {"models": {"champion": "colors", "challenger": "other"}}
        assert client.get("/v1/labels", params={"model": "challenger"}).json()["open_set_threshold"] == 0.5
        assert client.get("/v1/labels", params={"model": "x"}).status_code == 422


def test_ready_says_no_while_draining(make_app: Make) -> None:
    app = make_app()
    with TestClient(app) as client:
        assert client.get("/readyz").json()["status"] == "ready"
        app.state.service.draining = True
        assert (client.get("/readyz").status_code, client.get("/healthz").status_code) == (503, 200)


def test_the_examples_of_the_openapi_document_are_accepted(make_app: Make) -> None:
    with TestClient(make_app()) as client:
        document = client.get("/openapi.json").json()
        operation = document["paths"]["/v1/tags"]["post"]
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        assert len(examples) >= 3
        for example in examples.values():
            assert client.post("/v1/tags", json=example["value"]).status_code == 200
        statuses = {"200", "401", "408", "413", "415", "422", "429", "503"}
        assert statuses <= set(operation["responses"])
        assert set(document["paths"]) == {"/v1/tags", "/v1/labels", "/v1/models", "/healthz", "/readyz", "/metrics"}
        fields = set(operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"])
        assert fields == {"image", "tags", "threshold", "top_k", "explain", "model"}


def test_an_answer_is_what_the_openapi_document_says(client: Any, make_image: Make) -> None:
    from ram.serving.schema import TagAnswer

    answer = _ask(client, make_image(), explain="true")
    assert TagAnswer.model_validate_json(answer.content, strict=False).results[0].tags[0].place is not None
    assert json.loads(answer.content)["results"][0]["tags"][0]["name"] == "red"


def test_many_threads_and_all_kinds_of_questions_end_in_the_right_answers(make_app: Make, make_image: Make) -> None:
    with TestClient(make_app(max_batch=3, max_wait_ms=1.0)) as client, ThreadPoolExecutor(8) as pool:
        barrier = threading.Barrier(8)

        def ask(i: int) -> None:
            barrier.wait(30)
            for shade in range(0, 256, 64):
                image = make_image((shade, i, 0))
                options = {"tags": ["red"], "threshold": 0} if i % 2 else {"threshold": 0, "top_k": 3}
                tags = _ask(client, image, **options).json()["results"][0]["tags"]
                assert {tag["name"]: tag["score"] for tag in tags}["red"] == shade / 255

        list(pool.map(ask, range(8)))
