"""Pictures of curves of 10^6 and 10^8 ticks, over HTTP: what a request of each form takes."""

from bench.growth import make_spec, time_repeatedly
from bench.report import Figure
from bench.service import running_service

SIZES = (10**6, 10**8)
#: form -> query
PICTURES = {
    "svg": "curve.svg",
    "png": "curve.png",
    "png of 2,000 x 1,200": "curve.png?width=2000&height=1200",
    "txt": "curve.txt",
    "svg of two columns": "curve.svg?columns=loss,lr",
}


def measure(_rounds: int, *, largest: int = SIZES[-1]) -> list[Figure]:
    """Time every form at both sizes."""
    figures = []
    with running_service() as service:
        for size in SIZES:
            if size > largest:
                continue
            _, job = service.run(make_spec(size))
            for name, path in PICTURES.items():
                url = f"/v1/jobs/{job['id']}/{path}"
                times = time_repeatedly(lambda url=url: service.http.get(url).raise_for_status())
                figures.append(Figure(f"{size:,} ticks: {name}", "ms", times))
    return figures
