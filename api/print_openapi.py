"""Print the published document: `python -m api.print_openapi > docs/openapi.json`."""

from api.app import ENDPOINTS
from api.openapi import document_json

if __name__ == "__main__":
    print(document_json(ENDPOINTS), end="")
