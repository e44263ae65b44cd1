"""How the hits of a search are printed."""

from __future__ import annotations

from dataclasses import dataclass

import click

from tasb_qdrant.cli.options import grouped, json_option


@dataclass(frozen=True, slots=True)
class Output:
    """`form` is text, json, jsonl or trec, `run_name` the last column of a TREC run."""

    form: str
    run_name: str
    highlight: bool

    @classmethod
    def of(cls, *, form: str, run_name: str, highlight: bool, as_json: bool) -> Output:
        """As the command line gives them: --json is a form, and only text has words to mark.

        Raises UsageError where a run for trec_eval is to be JSON.
        """
        if as_json and form == "trec":
            raise click.UsageError("--json and --format trec contradict each other; give one of them")
        if as_json and form == "text":
            form = "json"
        return cls(form, run_name, highlight and form == "text")

    @property
    def is_json(self) -> bool:
        """Whether programs read it, as one document or line by line."""
        return self.form in ("json", "jsonl")


output_options = grouped(
    "output",
    Output.of,
    click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json", "jsonl", "trec"]),
        default="text",
        show_default=True,
        help="jsonl: a line per query; trec: a run for trec_eval.",
    ),
    click.option("--run-name", default="tasb-qdrant", show_default=True, help="The last column of a TREC run."),
    click.option("--highlight/--no-highlight", default=True, show_default=True, help="Mark the query's words."),
    json_option,
)
"""--format, --run-name, --highlight and --json, as `output: Output`."""
