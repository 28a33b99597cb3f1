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
from jobs.spec.job_spec import JobSpec, read_spec
from jobs.store.connection import Store, connect
from tests.data_strategies import KINDS, Spec, naming, upload_all
from tests.spec_faults import FAULTS, Fault
from tests.spec_strategies import specs
from tests.support import ADMIN_KEY, settings_for
from tests.trainings import CPU
from ticks import machine
from ticks.engines.selection import available_engines
from ticks.state import state_digest
from ticks.training import TrainingRun

#: that give the same bits
ENGINES = [name for name in available_engines() if name != "native"]


class Door:
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
        read = read_spec(naming(spec, self.ids), max_parameters=10**9, datasets=known)
        return JobSpec.model_validate(read.to_stored())

    def post(self, path: str, spec: Spec) -> Any:
        return self.http.post(path, json=naming(spec, self.ids))


@pytest.fixture(scope="module")
def door(store_server: str, tmp_path_factory: pytest.TempPathFactory) -> Door:
    store = connect(store_server)
    store.flushall()
    folder = tmp_path_factory.mktemp("specs")
    return Door(settings_for(store_server, folder, TICKFORGE_RATE_LIMIT="0"), store)


def examples(most: int) -> Any:
    return how(
        max_examples=most, derandomize=True, deadline=None, database=None,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@examples(25)
@given(data=st.data())
def test_every_valid_spec_is_planned_and_submitted(
    door: Door, kind: str, data: st.DataObject
) -> None:
    spec = data.draw(specs(KINDS[kind]))
    planned = door.post("/v1/jobs/plan", spec)
    assert planned.status_code == 200, planned.json
    again = door.post("/v1/jobs/plan", planned.json["spec"])
    assert again.json == planned.json, "a spec with all its defaults means itself"
    submitted = door.post("/v1/jobs", spec)
    assert submitted.status_code == 202, submitted.json
    assert submitted.json["spec"] == planned.json["spec"]
    assert submitted.json["ticks_total"] == planned.json["ticks_total"]


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # RMSNorm, bfloat16
@pytest.mark.parametrize("kind", KINDS)
@examples(12)
@given(data=st.data())
def test_every_valid_spec_can_be_trained(door: Door, kind: str, data: st.DataObject) -> None:
    spec = door.read(data.draw(specs(KINDS[kind])))
    machine.configure_torch(1)
    said = []
    for engine in ENGINES if spec.compute.device != "cuda" else ["eager"]:
        training = TrainingRun(spec, CPU, artifacts=door.artifacts, engine=engine)
        ran = training.run(3)
        assert ran.failure is None or ran.failure["type"] == "nonfinite", ran.failure
        assert sum(each.numel() for each in training.trainer.net.parameters()) == spec.parameters
        said.append((ran.chunk.columns["loss"].tobytes(), state_digest(training.trainer)))
    assert len(set(said)) == 1


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@examples(3)
@given(data=st.data())
def test_one_fault_between_fields_is_422_at_its_place(
    door: Door, fault: Fault, data: st.DataObject
) -> None:
    spec = data.draw(fault.specs)
    for path in ("/v1/jobs/plan", "/v1/jobs"):
        refused = door.post(path, spec)
        assert refused.status_code == 422, refused.json
        assert refused.json["type"] == "urn:tickforge:problem:invalid-spec"
        assert [each["pointer"] for each in refused.json["errors"]] == [fault.pointer]
