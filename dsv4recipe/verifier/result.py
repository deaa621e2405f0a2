"""Floor 4, verifier. Holds the result of a proof: steps with findings. This module is pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsv4recipe.errors import Diagnostic
from dsv4recipe.verifier.contract.replay.outlook import Outlook

NOT_INSTALLED = frozenset(("V201", "V230", "V231"))
"""Findings that a runtime is not on this machine."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the proof. `facts` are short sentences on what was checked. A warning does not fail a step."""

    name: str
    findings: tuple[Diagnostic, ...]
    facts: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def ran(self) -> bool:
        """Returns False where what it needs is not installed here, so that it says nothing of the bundle."""
        return not any(finding.code in NOT_INSTALLED for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Contract:
    """The result of step 2: its findings, the targets that the bundle is for, and what each known loader would do."""

    step: Step
    runtimes: tuple[str, ...] = ()
    outlooks: tuple[Outlook, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """All steps that were run. `runtimes` are the targets that the bundle is for, `outlooks` what every known loader
    would make of it. If the source was given, `numbers` has a row per module and `roles` one per role × format."""

    bundle: str
    steps: tuple[Step, ...]
    runtimes: tuple[str, ...] = ()
    outlooks: tuple[Outlook, ...] = ()
    numbers: tuple[dict[str, Any], ...] = ()
    roles: tuple[dict[str, Any], ...] = ()

    @property
    def ok(self) -> bool:
        return all(step.ok for step in self.steps)

    @property
    def failed(self) -> bool:
        """Returns whether the bundle failed a step. A runtime that is not installed is no failure of the bundle."""
        return any(not step.ok and step.ran for step in self.steps)

    def data(self) -> dict[str, Any]:
        """Returns the document that `verify --json` prints."""
        return {
            "format_version": 1,
            "bundle": self.bundle,
            "ok": self.ok,
            "steps": [
                {
                    "name": step.name,
                    "ok": step.ok,
                    "ran": step.ran,
                    "facts": list(step.facts),
                    "findings": [finding.as_json() for finding in step.findings],
                }
                for step in self.steps
            ],
            "runtimes": list(self.runtimes),
            "loaders": [outlook.data() for outlook in self.outlooks],
            "numbers": list(self.numbers),
            "roles": list(self.roles),
        }
