"""Open a run's study in optuna-dashboard (extra ``dashboard``) and check what a person finds there.

python tests/report/dashboard_check.py RUN
"""

from __future__ import annotations

import json
import re
import sys
import threading
import urllib.request
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

from chromium import dump


class Quiet(WSGIRequestHandler):
    """No line for each request."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve the journal, read the API, load the pages."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna_dashboard import wsgi

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(Path(sys.argv[1]) / "journal.log")))
    server = make_server("127.0.0.1", 0, wsgi(storage), handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    studies = json.load(urllib.request.urlopen(f"{base}/api/studies"))["study_summaries"]
    problems = [] if studies else ["no study is listed"]
    for summary in studies:
        number = summary["study_id"]
        detail = json.load(urllib.request.urlopen(f"{base}/api/studies/{number}?after=0"))
        problems += look(summary["study_name"], detail)
        for page in ("", "/analytics", "/trials", "/trialTable"):
            dom, console = dump(f"{base}/dashboard/studies/{number}{page}", milliseconds=20000)
            words = re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script).*?</\1>", " ", dom, flags=re.DOTALL))
            if summary["study_name"] not in words and not re.search(r"Trial\s+\d", words):
                problems.append(f"page {page or '/'} shows neither the study nor a trial: {' '.join(words.split())[-200:]}")
            problems += [f"page {page or '/'}: {line}" for line in console if "ERROR" in line]
    server.shutdown()
    print("; ".join(problems) or "every page loads; parameters, values and attributes are named")
    sys.exit(bool(problems))


def look(name: str, detail: dict) -> list[str]:
    """Whether trials have named parameters, a value and attributes that a person can read."""
    trials = [trial for trial in detail["trials"] if trial["state"] == "Complete"]
    parameters = {parameter["name"] for trial in trials for parameter in trial["params"]}
    attributes = {attribute["key"] for trial in trials for attribute in trial["user_attrs"]}
    print(
        f"study {name}: {len(detail['trials'])} trials, {len(trials)} complete, {len(parameters)} parameters, metric names {detail.get('metric_names')}"
    )
    print("  parameters:", ", ".join(sorted(parameters)[:8]), "…")
    print("  attributes:", ", ".join(sorted(attributes)))
    missing = {"flops", "parameters", "key"} - attributes
    return (
        ([] if trials else ["no complete trial"])
        + ([] if parameters else ["no parameter"])
        + [f"attribute {name} is missing" for name in missing]
    )


if __name__ == "__main__":
    main()
