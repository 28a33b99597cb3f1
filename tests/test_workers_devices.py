"""A worker whose device fails while it trains."""

from workers.canaries import Canaries
from workers.worker_folder import WorkerFolder


def test_a_device_that_failed_is_measured_again_by_both_processes_of_its_worker() -> None:
    folder = WorkerFolder()
    try:
        main, child = Canaries(folder, "cuda"), Canaries(folder, "cuda")
        folder.write("canaries", {"1": "c"})
        assert main.measure(1) == child.measure(1) == "c"
        child.forget()
        assert main.known_canaries() == {} and main.engine_prefixes() == {}
    finally:
        folder.remove()
