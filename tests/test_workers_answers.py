"""Answers on real workers: bits, turns, cancels, and whatever dies while one is in work."""

import hashlib
import json
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from jobs.store import keys
from tests.answers import claim_answer
from tests.api_harness import ApiHarness
from tests.datasets import PETS, spec_on_dataset, upload_new
from tests.needs import ONNX, needs
from tests.support import running_store, small_spec, wait_until
from tests.test_ticks_onnx import run_onnx

ROWS = [
    {"weight": 4.5, "colour": "black", "age": "3"},
    {"weight": 30, "colour": "brown", "age": 7, "pet": "dog"},
]
ASK = {"rows": ROWS}
TEXT_SPEC = {
    "model": {
        "family": "transformer_lm", "layers": 1, "heads": 1, "width": 8,
        "vocabulary": "bytes",
    },
    "data": {"source": "example", "name": "genesis", "window": 16},
    "budget": {"ticks": 2},
    "batch_size": 4,
}  # fmt: skip
LONG = {"prompt": "In the beginning", "max_tokens": 4096}
ENDLESS = small_spec(budget={"ticks": 100_000_000}, compute={"engine": "eager"})


def rotating(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a spec that trains for long and saves often, and keeps the newest alone."""
    rules = {"every_ticks": 10, "keep": 1, "keep_best": False}
    budget = {"ticks": 100_000_000}
    return {**spec, "budget": budget, "checkpoint": rules, "compute": {"engine": "eager"}}


class AnsweringHarness(ApiHarness):
    """A service with workers whose processes can be made to fail, and two nets to ask."""

    def __init__(self, url: str, data: Path, stack: ExitStack) -> None:
        super().__init__(url, data, stack)
        self.faults = data / "faults"
        self.faults.mkdir(parents=True)
        self.start_answering("first")
        dataset = upload_new(self.http, PETS)
        self.dataset = dataset["id"]
        self.pets_spec = spec_on_dataset(self.dataset)
        self.pets, self.text = self.train(self.pets_spec), self.train(TEXT_SPEC)

    def start_answering(self, name: str) -> Any:
        return self.start_worker(
            name, TICKFORGE_FAULTS=str(self.faults), TICKFORGE_LEASE_SECONDS="1"
        )

    def train(self, spec: dict[str, Any]) -> str:
        job_id = self.submit(spec)
        assert self.wait_for_end(job_id)["status"] == "succeeded"
        return job_id

    def arm(self, point: str, action: str = "kill", **options: Any) -> Path:
        """Arm a fault; return the file that is there once it has happened."""
        armed = self.faults / f"{secrets.token_hex(6)}.fault"
        draft = armed.with_suffix(".draft")
        draft.write_text(json.dumps({"point": point, "action": action, **options}))
        draft.rename(armed)
        return armed.with_suffix(".fired")

    def ask(self, net: str, body: Any = ASK, wait: float = 60) -> dict[str, Any]:
        path = f"/v1/jobs/{net}/checkpoints/final/predict?wait={wait}"
        response = self.http.post(path, json=body)
        assert response.status_code in (200, 202), response.json
        return dict(response.json)

    def wait_for_answer(self, answer: dict[str, Any]) -> dict[str, Any]:
        path = f"/v1/jobs/{answer['id']}?wait=30&until=end"
        for _ in range(4):
            job = dict(self.http.get(path).json)
            if job["finished_at"] is not None:
                return job
        raise AssertionError(f"no answer came: {job}")

    def processes(self) -> set[int]:
        """Return the pids of all processes below the workers that live."""
        live = [worker.process.pid for worker in self.workers if worker.process.poll() is None]
        trees = [psutil.Process(pid).children(recursive=True) for pid in live]
        return {process.pid for tree in trees for process in tree}

    def model(self, net: str) -> Any:
        """Import model.py of a net's final checkpoint, as a user would."""
        (folder,) = (self.folder(net) / "checkpoints").glob("*-t*")
        spec = spec_from_file_location(f"model_of_{net}", folder / "model.py")
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnsweringHarness]:
    with ExitStack() as stack:
        server = stack.enter_context(running_store())
        harness = AnsweringHarness(server.url, tmp_path_factory.mktemp("answers"), stack)
        harness.server = server  # type: ignore[attr-defined]
        stack.callback(harness.store.close)
        yield harness


def files_of(harness: AnsweringHarness) -> set[Path]:
    return {path for path in harness.files.root.rglob("*") if path.is_file()}


def test_a_predict_equals_model_py_and_leaves_no_file(harness: AnsweringHarness) -> None:
    wait_until(lambda: harness.store.scard(keys.UNFINALIZED_JOBS) == 0, 30)
    model = harness.model(harness.pets)
    before = files_of(harness)
    answer = harness.ask(harness.pets)
    assert answer["status"] == "succeeded", answer["error"]
    assert answer["result"]["predictions"] == model.predict(ROWS)
    inputs = [[4.5, 3, 1, 0, 0], [30, 7, 0, 1, 0]]
    rows = harness.ask(harness.pets, {"inputs": inputs})["result"]["predictions"]
    assert rows == model.predict(inputs)
    prompt = {"prompt": "And God said", "max_tokens": 20, "seed": 7}
    (text,) = harness.ask(harness.text, prompt)["result"]["predictions"]
    assert text["text"].startswith("And God said") and len(text["text"].encode()) >= 20
    assert harness.ask(harness.text, prompt)["result"]["predictions"] == [text]
    assert files_of(harness) == before


def test_a_dataset_is_predicted_into_a_file_and_a_net_evaluated_on_it(
    harness: AnsweringHarness,
) -> None:
    table = b"pet,colour,age,weight\ncat,black,3,4.5\ndog,brown,?,30\ndog,white,2,x\n"
    other = upload_new(harness.http, table)["id"]
    accepted = harness.ask(harness.pets, {"dataset": other})
    assert accepted["status"] == "succeeded", accepted["error"]
    assert accepted["result"]["rows"] == 3 and accepted["result"]["errors"] == 2
    path = f"/v1/jobs/{accepted['id']}/result"
    lines = [json.loads(line) for line in harness.http.get(path).text.splitlines()]
    expected = harness.model(harness.pets).predict([ROWS[0]])
    assert lines[0] == {"row": 1, **expected[0]}
    assert [line["row"] for line in lines] == [1, 2, 3] and "age" in lines[1]["error"]
    csv = harness.http.get(path, headers={"Accept": "text/csv"}).text.splitlines()
    assert csv[0] == "row,class,probability,error" and csv[1].startswith(f"1,{lines[0]['class']},")
    assert harness.job(accepted["id"])["bytes"] == accepted["result"]["bytes"] > 0
    whole = {"dataset": harness.dataset}
    evaluate = f"/v1/jobs/{harness.pets}/checkpoints/final/evaluate"
    evaluated = harness.http.post(evaluate, json={**whole, "wait": 30}).json
    assert evaluated["status"] == "succeeded", evaluated["error"]
    assert set(evaluated["result"]["metrics"]) >= {"loss", "accuracy"}
    confusion = evaluated["result"]["confusion"]
    assert confusion["classes"] == ["cat", "dog"] and sum(map(sum, confusion["matrix"])) == 6
    for kind, job in (("predict", accepted), ("evaluate", evaluated)):
        listed = harness.http.get(f"/v1/jobs?kind={kind}&parent={harness.pets}").json["data"]
        assert job["id"] in [entry["id"] for entry in listed]
        assert job["id"] not in [entry["id"] for entry in harness.http.get("/v1/jobs").json["data"]]
    no_target = upload_new(harness.http, b"weight,colour,age\n1,black,2\n")["id"]
    refused = harness.http.post(evaluate, json={"dataset": no_target})
    assert refused.status_code == 422 and "'pet'" in refused.json["errors"][0]["detail"]
    refused = harness.http.get(f"/v1/jobs/{evaluated['id']}/result")
    assert refused.status_code == 404


def test_a_gap_in_a_category_that_may_have_unseen_classes_is_one_for_every_question(
    harness: AnsweringHarness,
) -> None:
    spec = spec_on_dataset(harness.dataset, data={"unseen": "ignore"})
    net = harness.train(spec)
    gap = upload_new(harness.http, b"weight,colour,age,pet\n4.5,,3,cat\n30,pink,7,cat\n")["id"]
    rows = [{"weight": 4.5, "colour": None, "age": 3}, {"weight": 30, "colour": "pink", "age": 7}]
    expected = harness.ask(net, {"rows": rows})["result"]["predictions"]
    predicted = harness.ask(net, {"dataset": gap})
    assert predicted["result"]["errors"] == 0
    lines = harness.http.get(f"/v1/jobs/{predicted['id']}/result").text.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"row": row, **prediction} for row, prediction in enumerate(expected, 1)
    ]
    evaluate = f"/v1/jobs/{net}/checkpoints/final/evaluate"
    job = harness.http.post(evaluate, json={"dataset": gap, "wait": 30}).json
    assert job["result"]["confusion"]["matrix"][0] == [
        [prediction["class"] for prediction in expected].count(name) for name in ("cat", "dog")
    ]
    for table in (b"weight,colour,age,pet\n,black,3,cat\n", b"weight,colour,age,pet\n1,,3,\n"):
        refused = {"dataset": upload_new(harness.http, table)["id"]}
        assert "no gaps in the column" in harness.http.post(evaluate, json=refused).json["detail"]


def test_short_answers_come_while_the_worker_trains_and_continues_a_long_text(
    harness: AnsweringHarness,
) -> None:
    training = harness.submit(ENDLESS)
    harness.wait_for(training, lambda job: job["tick"] > 0)
    long = [harness.ask(harness.text, LONG, wait=0) for _ in range(3)]
    for _ in range(3):
        assert harness.ask(harness.pets)["status"] == "succeeded"
    assert harness.job(training)["status"] == "running"
    states = [harness.job(answer["id"])["status"] for answer in long]
    assert set(states) <= {"queued", "running"}, "one slice of each came between two short ones"
    for answer in long:
        harness.request(answer["id"], "cancel")
        assert harness.wait_for_answer(answer)["status"] == "cancelled"
    harness.request(training, "cancel")
    harness.wait_for_end(training)


def test_two_long_texts_advance_in_turns_and_a_short_answer_waits_for_neither(
    harness: AnsweringHarness,
) -> None:
    fired = harness.arm("answer:step", "block")  # until all three have been asked
    longest = harness.ask(harness.text, LONG, wait=0)
    wait_until(fired.exists, 30)
    shorter = harness.ask(harness.text, {**LONG, "max_tokens": 2048}, wait=0)
    rows = harness.ask(harness.pets, wait=0)
    fired.unlink()
    ends = [harness.wait_for_answer(answer) for answer in (rows, shorter)]
    assert [answer["status"] for answer in ends] == ["succeeded", "succeeded"]
    harness.request(longest["id"], "cancel")  # it has had as many slices, and needs twice as many
    ends.append(harness.wait_for_answer(longest))
    assert sorted(ends, key=lambda answer: answer["finished_at"]) == ends


def test_the_progress_of_a_predict_of_a_dataset_is_the_share_of_rows_that_are_done(
    harness: AnsweringHarness,
) -> None:
    table = b"weight,colour,age\n" + b"4.5,black,3\n" * 200
    dataset = upload_new(harness.http, table)["id"]
    first = harness.arm("answer:step", "block", nth=3)  # beyond loading, and 64 rows
    job = harness.ask(harness.pets, {"dataset": dataset}, wait=0)
    wait_until(first.exists, 30)
    harness.wait_for(job["id"], lambda job: job["elapsed_seconds"] > 0)  # the slice's time is over
    second = harness.arm("answer:step", "block")
    first.unlink()
    wait_until(second.exists, 30)
    running = harness.wait_for(job["id"], lambda job: job["progress"] > 0)
    assert running["progress"] in (64 / 200, 128 / 200, 192 / 200)
    assert running["phase"] == "predicting"
    second.unlink()
    ended = harness.wait_for_end(job["id"])
    assert (ended["status"], ended["progress"], ended["result"]["rows"]) == ("succeeded", 1.0, 200)
    assert ended["elapsed_seconds"] > running["elapsed_seconds"] > 0


@pytest.mark.parametrize("kind", ["predict", "evaluate"])
def test_a_job_about_a_dataset_is_cancelled_while_it_runs(
    harness: AnsweringHarness, kind: str
) -> None:
    fired = harness.arm("answer:step", "block")
    path = f"/v1/jobs/{harness.pets}/checkpoints/final/{kind}?wait=0"
    job = harness.http.post(path, json={"dataset": harness.dataset}).json
    wait_until(fired.exists, 30)
    record = keys.job("default", job["id"])
    assert harness.store.hexists(record, "reserved_bytes") == (kind == "predict")
    under_way = harness.request(job["id"], "cancel")
    assert (under_way.status_code, under_way.json["requested"]) == (202, "cancel")
    seconds = harness.job(job["id"])["elapsed_seconds"]
    harness.wait_for(job["id"], lambda job: job["elapsed_seconds"] > seconds)  # it was seen
    fired.unlink()
    ended = harness.wait_for_end(job["id"])
    assert (ended["status"], ended["result"], ended["attempt"]) == ("cancelled", None, 1)
    assert not [*harness.folder(job["id"]).glob("result*")]
    assert not harness.store.hexists(record, "reserved_bytes")
    assert harness.ask(harness.pets)["status"] == "succeeded"


@pytest.mark.parametrize("point", ["answer:load", "answer:step", "answer:reply"])
def test_an_answer_comes_though_its_process_is_killed(
    harness: AnsweringHarness, point: str
) -> None:
    expected = harness.ask(harness.pets)["result"]
    fired = harness.arm(point)
    answer = harness.ask(harness.pets)
    assert fired.exists()
    assert (answer["status"], answer["attempt"]) == ("succeeded", 2), answer["error"]
    assert answer["result"] == expected


def test_a_dataset_is_predicted_once_though_the_process_is_killed_before_its_reply(
    harness: AnsweringHarness,
) -> None:
    fired = harness.arm("answer:reply")
    job = harness.ask(harness.pets, {"dataset": harness.dataset})
    assert fired.exists()
    assert (job["status"], job["attempt"], job["result"]["rows"]) == ("succeeded", 2, 6)
    folder = harness.folder(job["id"])
    assert [path.name for path in folder.glob("result*")] == ["result.ndjson"]
    assert harness.http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert not folder.exists()


def test_a_result_that_outgrows_its_bound_fails_and_leaves_no_file(
    harness: AnsweringHarness,
) -> None:
    fired = harness.arm("answer:load", "block")
    short = harness.ask(harness.pets, wait=0)
    wait_until(fired.exists, 30)
    queued = harness.ask(harness.pets, {"dataset": harness.dataset}, wait=0)
    record = keys.job("default", queued["id"])
    question = json.loads(harness.store.hget(record, "question"))
    assert question["max_bytes"] == int(harness.store.hget(record, "reserved_bytes")) > 300
    harness.store.hset(record, "question", json.dumps(question | {"max_bytes": 300}))
    fired.unlink()
    failed = harness.wait_for_answer(queued)
    assert (failed["error"]["type"], failed["attempt"]) == ("result-too-large", 1)
    assert "more than 300 bytes" in failed["error"]["detail"]
    assert not [*harness.folder(queued["id"]).glob("result*")]
    assert not harness.store.hexists(record, "reserved_bytes")
    assert harness.wait_for_answer(short)["status"] == "succeeded"


def test_an_answer_that_kills_every_process_fails_and_says_why(harness: AnsweringHarness) -> None:
    for _ in range(3):
        harness.arm("answer:load")
    answer = harness.ask(harness.pets)
    assert (answer["status"], answer["attempt"]) == ("failed", 3)
    assert answer["error"]["type"] == "poison"
    assert "the answering process ended" in answer["error"]["detail"]
    assert harness.ask(harness.pets)["status"] == "succeeded"


def test_an_exception_in_the_process_costs_it_and_not_the_answer(
    harness: AnsweringHarness,
) -> None:
    harness.arm("answer:step", "raise")
    answer = harness.ask(harness.pets)
    assert (answer["status"], answer["attempt"]) == ("succeeded", 2)


def test_an_answer_whose_worker_is_killed_comes_from_another(harness: AnsweringHarness) -> None:
    fired = harness.arm("store:answer_finish:before")
    answer = harness.ask(harness.pets, wait=0)
    wait_until(fired.exists, 30)
    harness.start_answering("second")
    ended = harness.wait_for_answer(answer)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2)


def test_a_checkpoint_deleted_before_its_net_has_answered_is_told(
    harness: AnsweringHarness,
) -> None:
    net = harness.train({**harness.pets_spec, "seed": 3})
    fired = harness.arm("answer:load", "block")
    answer = harness.ask(net, wait=0)
    wait_until(fired.exists, 30)
    assert harness.http.delete(f"/v1/jobs/{net}/checkpoints/final").status_code == 204
    fired.unlink()
    failed = harness.wait_for_answer(answer)
    assert (failed["status"], failed["error"]["type"]) == ("failed", "checkpoint-gone")
    assert f"tick {failed['tick']}" in failed["error"]["detail"]


def test_a_file_that_is_not_what_was_saved_is_told(harness: AnsweringHarness) -> None:
    net = harness.train({**harness.pets_spec, "seed": 4})
    (weights,) = (harness.folder(net) / "checkpoints").glob("*-t*/model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    failed = harness.ask(net)
    assert (failed["status"], failed["error"]["type"]) == ("failed", "damaged")


@needs(ONNX)
@pytest.mark.parametrize("point", ["answer:reply", "store:answer_renew:before"])
def test_model_onnx_predicts_as_the_service_does_though_its_maker_is_killed(
    harness: AnsweringHarness, point: str
) -> None:
    (folder,) = (harness.folder(harness.pets) / "checkpoints").glob("*-t*")
    for exported in folder.glob("*.onnx"):
        exported.unlink()
    rows = [[4.5, 3, 1, 0, 0], [30, 7, 0, 1, 0]]
    predictions = harness.ask(harness.pets, {"inputs": rows})["result"]["predictions"]
    processes = harness.processes()
    path = f"/v1/jobs/{harness.pets}/checkpoints/final/files/model.onnx"
    fired = harness.arm(point)
    assert harness.http.get(path).status_code == 202
    wait_until(fired.exists, 60)
    if point.startswith("store:"):
        harness.start_answering("third")
    wait_until(lambda: harness.http.get(path).status_code == 200, 60)

    response = harness.http.get(path)
    assert response.headers["ETag"] == f'"{hashlib.sha256(response.data).hexdigest()}"'
    expected = [list(prediction["probabilities"].values()) for prediction in predictions]
    assert np.abs(run_onnx(response.data, rows=np.array(rows)) - expected).max() <= 1e-6
    assert len([*folder.glob("*onnx*")]) == 1, "no draft is left"
    record = keys.answer("default", f"export:{harness.pets}:{folder.name}")
    wait_until(lambda: harness.store.hget(record, "status") == b"succeeded", 30)
    assert harness.store.hget(record, "attempt") == b"2"
    if point == "answer:reply":
        wait_until(lambda: harness.processes() <= processes, 30, "its process to end")


def test_latest_answers_while_its_job_trains_and_keeps_no_checkpoint_but_the_newest(
    harness: AnsweringHarness,
) -> None:
    training = harness.submit(rotating(harness.pets_spec))
    path = f"/v1/jobs/{training}/checkpoints"
    harness.wait_for(training, lambda job: (job["latest_checkpoint"] or 0) > 0)
    ticks = list[int]()
    while len(ticks) < 12 or len(set(ticks)) < 5:  # answers may come faster than checkpoints
        number = len(ticks)
        about = {"dataset": harness.dataset}
        kind, body = [("predict", ASK), ("evaluate", about), ("predict", about)][number % 3]
        queued = harness.http.post(f"{path}/latest/{kind}?wait=0", json=body).json
        answer = harness.wait_for_answer(queued)
        assert answer["status"] == "succeeded", answer["error"]
        assert answer["tick"] == queued["tick"]
        ticks.append(queued["tick"])
    assert ticks == sorted(ticks)
    harness.request(training, "cancel")
    harness.wait_for_end(training)


@needs(ONNX)
def test_the_onnx_of_latest_comes_while_its_job_trains(harness: AnsweringHarness) -> None:
    training = harness.submit(rotating(harness.pets_spec))
    harness.wait_for(training, lambda job: (job["latest_checkpoint"] or 0) > 0)
    path = f"/v1/jobs/{training}/checkpoints/latest/files/model.onnx"
    wait_until(lambda: harness.http.get(path).status_code == 200, 60)
    file = harness.http.get(path)
    assert harness.http.get(file.headers["Content-Location"]).data == file.data
    harness.request(training, "cancel")
    harness.wait_for_end(training)


def test_a_store_that_restarts_loses_no_answer(harness: AnsweringHarness) -> None:
    fired = harness.arm("answer:step", "block")
    answers = [harness.ask(harness.pets, wait=0) for _ in range(3)]
    wait_until(fired.exists, 30)
    server: Any = harness.server  # type: ignore[attr-defined]
    server.kill()
    server.start()
    fired.unlink()
    for answer in answers:
        assert harness.wait_for_answer(answer)["status"] == "succeeded"


def test_a_dataset_whose_worker_leaves_midway_is_predicted_by_the_next_one(
    harness: AnsweringHarness,
) -> None:
    fired = harness.arm("answer:reply", "block")  # all rows are written, and nobody knows it
    job = harness.ask(harness.pets, {"dataset": harness.dataset}, wait=0)
    wait_until(fired.exists, 30)
    assert [*harness.folder(job["id"]).glob("result.ndjson.*")]
    end_workers(harness)
    assert harness.job(job["id"])["status"] == "queued"
    assert not [*harness.folder(job["id"]).glob("result*")]
    harness.start_answering("last")
    ended = harness.wait_for_end(job["id"])
    assert (ended["status"], ended["result"]["rows"], ended["progress"]) == ("succeeded", 6, 1.0)
    assert [attempt["outcome"] for attempt in harness.attempts(job["id"])] == ["drain", "succeeded"]
    assert [path.name for path in harness.folder(job["id"]).glob("result*")] == ["result.ndjson"]


def end_workers(harness: AnsweringHarness) -> None:
    """Ask all workers to leave, at once: another one would take what they give back."""
    live = [worker.process for worker in harness.workers if worker.process.poll() is None]
    for process in live:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(30) for process in live] == [0] * len(live)


def test_a_worker_that_leaves_gives_back_what_it_has_not_answered(
    harness: AnsweringHarness,
) -> None:
    fired = harness.arm("answer:step", "block")  # else a fast machine answers before it leaves
    answer = harness.ask(harness.text, LONG, wait=0)
    wait_until(fired.exists, 30)
    end_workers(harness)
    queued = harness.job(answer["id"])
    assert (queued["status"], queued["attempt"]) == ("queued", 0)
    # a worker that another test killed is listed until its announcement ends
    wait_until(lambda: harness.job(answer["id"])["queue"]["reason"] == "no_worker", 60)
    leases, claim = claim_answer(harness.store)
    assert (claim.answer_id, claim.request["prompt"]) == (answer["id"], LONG["prompt"])
    leases.end_cancelled(claim)
