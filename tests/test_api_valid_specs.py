"""Specs of every kind against the API: valid ones are accepted, and one fault is found as such."""

from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as how
from hypothesis import strategies as st

from api.app import create_app
from jobs.datasets.repository import DatasetRepository
from jobs.files.artifacts import ArtifactStore
from jobs.settings import Settings
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from jobs.spec.stored import read_stored_spec
from jobs.store.connection import Store, connect
from tests.data_strategies import KINDS, Spec, insert_ids, upload_all
from tests.spec_faults import FAULTS, SpecFault
from tests.spec_strategies import specs
from tests.support import ADMIN_KEY, settings_for
from tests.training_records import CPU
from ticks import machine
from ticks.engines.selection import available_engines
from ticks.state import state_digest
from ticks.training import TrainingRun

#: that give the same bits
ENGINES = [name for name in available_engines() if name != "native"]


class SpecClient:
    """The API as one who submits sees it, with the datasets that specs may name."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.http = create_app(settings).test_client()
        self.http.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
        self.ids = upload_all(self.http)
        self.artifacts = settings.artifacts
        self.datasets = DatasetRepository(
            store, ArtifactStore(settings.artifacts), max_bytes=1 << 20
        )

    def read(self, spec: Spec) -> JobSpec:
        """As a trainer gets it."""
        known = partial(self.datasets.look_up, "default")
        read = read_spec(insert_ids(spec, self.ids), max_parameters=10**9, datasets=known)
        return read_stored_spec(read.to_stored())

    def post(self, path: str, spec: Spec) -> Any:
        return self.http.post(path, json=insert_ids(spec, self.ids))


@pytest.fixture(scope="module")
def spec_client(store_server: str, tmp_path_factory: pytest.TempPathFactory) -> SpecClient:
    store = connect(store_server)
    store.flushall()
    folder = tmp_path_factory.mktemp("specs")
    return SpecClient(settings_for(store_server, folder, TICKFORGE_RATE_LIMIT="0"), store)


def examples(most: int) -> Any:
    return how(
        max_examples=most, derandomize=True, deadline=None, database=None,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@examples(10)
@given(data=st.data())
def test_every_valid_spec_is_planned_and_submitted(
    spec_client: SpecClient, kind: str, data: st.DataObject
) -> None:
    spec = data.draw(specs(KINDS[kind]))
    planned = spec_client.post("/v1/jobs/plan", spec)
    assert planned.status_code == 200, planned.json
    again = spec_client.post("/v1/jobs/plan", planned.json["spec"])
    # a default that is written out needs no warning, and no other reason for its device
    first_plan, second_plan = (
        response.json | {"warnings": [], "device": response.json["device"]["device"]}
        for response in (planned, again)
    )
    assert second_plan == first_plan, "a spec with all its defaults means itself"
    submitted = spec_client.post("/v1/jobs", spec)
    assert submitted.status_code == 202, submitted.json
    assert submitted.json["spec"] == planned.json["spec"]
    assert submitted.json["ticks_total"] == planned.json["ticks_total"]


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # RMSNorm, bfloat16
@pytest.mark.parametrize("kind", KINDS)
@examples(6)
@given(data=st.data())
def test_every_valid_spec_can_be_trained(
    spec_client: SpecClient, kind: str, data: st.DataObject
) -> None:
    spec = spec_client.read(data.draw(specs(KINDS[kind])))
    machine.configure_torch(1)
    results = []
    for engine in ENGINES if spec.compute.device != "cuda" else ["eager"]:
        training = TrainingRun(spec, CPU, artifacts=spec_client.artifacts, engine=engine)
        ran = training.run(3)
        assert ran.failure is None or ran.failure["type"] == "nonfinite", ran.failure
        assert (
            sum(parameter.numel() for parameter in training.trainer.net.parameters())
            == spec.parameters
        )
        results.append((ran.chunk.columns["loss"].tobytes(), state_digest(training.trainer)))
    assert len(set(results)) == 1


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@examples(3)
@given(data=st.data())
def test_an_error_between_fields_is_422_at_its_place(
    spec_client: SpecClient, fault: SpecFault, data: st.DataObject
) -> None:
    spec = data.draw(fault.specs)
    for path in ("/v1/jobs/plan", "/v1/jobs"):
        refused = spec_client.post(path, spec)
        assert refused.status_code == 422, refused.json
        assert refused.json["type"] == "urn:tickforge:problem:invalid-spec"
        assert [error["pointer"] for error in refused.json["errors"]] == [fault.pointer]
