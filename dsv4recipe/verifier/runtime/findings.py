"""Floor 4, verifier (step 4). Turns a probe's result into diagnostics, V200 to V233. This module is pure.

Every code is explained in docs/errors/V-runtime.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsv4recipe.errors import Diagnostic, Problems, Where
from dsv4recipe.runtimes import probes
from dsv4recipe.units import human_size
from dsv4recipe.verifier.runtime.choose import how_to_install
from dsv4recipe.verifier.runtime.probe_result import Ended, Misread, ProbeResult

_DECODED = 0.9999  # float16 against float32 of the same numbers measured 0.99997 at nine positions in ten
_ANSWER = 1000  # how many characters of an answer a message shows
_SHOWN = 5  # how many names a finding shows; the result has all


def runtime_findings(result: ProbeResult, min_cosine: float = 0.5) -> tuple[Diagnostic, ...]:
    """Returns every finding of one probe, errors before warnings.

    Below `min_cosine` the bundle's logits no longer resemble the source's. The default only catches a broken bundle
    (2-bit experts of a random source measure 0.80 to 0.86, 4-bit ones 0.9999); the goal of a recipe is higher.
    """
    problems = Problems()
    at = Where(file=str(result.bundle), subject=result.loader)
    if result.ended is not Ended.REPORTED:
        _child_end(problems, result, at)
    else:
        _names(problems, result, at)
        _widths(problems, result, at)
        _failures(problems, result, at)
        _forward(problems, result, at, min_cosine)
        _answer(problems, result, at)
    _files(problems, result, at)
    return (*problems.errors, *problems.warnings)


def _child_end(problems: Problems, result: ProbeResult, at: Where) -> None:
    name = f"the {result.loader} probe"
    match result.ended:
        case Ended.NOT_STARTED:
            hint = "pass a Python interpreter that has the runtime with --runtime-python"
            problems.error("V200", f"{name} did not start: {result.detail}", at, hint)
        case Ended.TIMED_OUT:
            hint = "give it more time, or a shorter prompt; 400 tokens take minutes without a GPU"
            problems.error("V202", f"{name} did not end {result.detail}", at, hint)
        case Ended.KILLED:
            hint = (
                _limit(result.memory_limit)
                if result.memory_limit
                else "SIGKILL usually means a lack of memory; it must hold the whole bundle; --source needs "
                "another four bytes per weight of a tiny source"
                if "SIGKILL" in result.detail
                else "the runtime crashed; run its own loader on the bundle and report the crash to its developers"
            )
            problems.error("V203", f"{name} was killed: {result.detail}", at, hint)
        case _:
            if "ModuleNotFoundError" in result.detail:
                lacks = f"the loader {result.loader} cannot run here: {result.detail}"
                hint = f"{how_to_install(result.loader)}; or name another with --runtime-python"
                problems.error("V201", lacks, at, hint)
                return
            usual = "check that --runtime-python is a Python 3.11 or later and that its packages import"
            hint = _limit(result.memory_limit) if result.memory_limit else usual
            problems.error("V204", f"{name} ended without a readable report: {result.detail}", at, hint)


def _limit(size: int) -> str:
    return f"the memory limit was {human_size(size)}; a process may end like this when it reaches it"


def _names(problems: Problems, result: ProbeResult, at: Where) -> None:
    lenient = result.loader in probes() and not probes()[result.loader].strict
    if result.missing:
        effect = (
            "the loader silently leaves them at random values, and the model produces nonsense"
            if lenient
            else "the loader refuses the bundle"
        )
        problems.error(
            "V206",
            f"{len(result.missing)} parameters of the model have no tensor: {effect}",
            at,
            "names on disk belong to one runtime or to universal; verify without --runtime says for which this bundle "
            "is",
            _listed(result.missing),
        )
    if result.unexpected:
        effect = "the loader silently drops them" if lenient else "the loader refuses the bundle"
        problems.error(
            "V207",
            f"{len(result.unexpected)} tensors belong to no parameter of the model: {effect}",
            at,
            "compare the names with the model's; usually a prefix or a projection's name is wrong",
            _listed(result.unexpected),
        )
    if result.misshapen:
        problems.error(
            "V226",
            f"{len(result.misshapen)} tensors have another shape than their parameter, so the loader refuses the "
            "bundle",
            at,
            "usually an override in config.json is missing or wrong, so that the width is wrong",
            _listed(result.misshapen),
        )
    if result.overrides.missed:
        problems.warn(
            "V209",
            f"{len(result.overrides.missed)} override keys of config.json name no module and no tensor on disk, so "
            "nothing reads them",
            at,
            "use the runtime's module path as key, such as model.layers.3.self_attn.wq_a",
            _listed(result.overrides.missed),
        )


def _widths(problems: Problems, result: ProbeResult, at: Where) -> None:
    for rule in sorted({m.rule for m in result.misread}):
        found = [m for m in result.misread if m.rule == rule]
        here = "the one installed here" if rule == result.rule else "not the one installed here"
        problems.error(
            "V210",
            f"{rule} ({here}) gives {len(found)} modules another width than their tensors have",
            at,
            "write an override with bits, group_size and mode under the runtime's module path for every module "
            "that differs from the top level of config.json's quantization",
            _listed([_misread(m) for m in found]),
        )
    wrong = [f"{m.path}: loaded as {m.mode} {m.bits}-bit: {m.problem}" for m in result.modules if m.problem]
    if wrong:
        problems.error(
            "V208",
            f"{len(wrong)} modules were loaded at a width or in a mode that their tensors do not have",
            at,
            "the loader guessed; write every override under module path and disk stem, always with mode, and put the "
            "group size into jang_config.json",
            _listed(wrong),
        )


def _failures(problems: Problems, result: ProbeResult, at: Where) -> None:
    for failure in result.failures:
        said = f"{failure.kind}: {_short(failure.message)}"
        if result.memory_limit and ("MemoryError" in failure.kind or "Unable to allocate" in failure.message):
            hint = (
                "give it more with --memory-limit; the limit counts address space, which is more than the memory in use"
            )
            limit = human_size(result.memory_limit)
            problems.error("V232", f"{result.loader} reached the memory limit of {limit}: {said}", at, hint)
            continue
        match failure.stage:
            case "import":
                hint = f"{how_to_install(result.loader)}; or name the interpreter that has it with --runtime-python"
                problems.error("V201", f"the loader {result.loader} cannot run here: {said}", at, hint)
            case "load" if result.loader == "jang-strict" and failure.message == "MXTQ tensors":
                hint = "use --runtime jang or --runtime vmlx"
                problems.error("V213", "mlx-lm alone cannot read MXTQ tensors, and this bundle has some", at, hint)
            case "dense" | "decoded" if failure.kind == "MemoryError":
                hint = "compare on a tiny checkpoint of the same layout (dsv4recipe synth), not on a full one"
                problems.warn("V216", f"the dense comparison was not made: {failure.message}", at, hint)
            case "decoded":
                hint = "the sidecar must hold signs and codebooks of every width, and the bundle must be tiny"
                problems.error("V225", f"the bundle's own tensors could not be decoded: {said}", at, hint)
            case "answer":
                hint = "it needs tokenizer.json, tokenizer_config.json and encoding/encoding_dsv4.py or a chat template"
                problems.error("V228", f"the question could not be answered: {said}", at, hint)
            case "compare" | "reference":
                hint = "the reference must be of the same prompt and vocabulary"
                problems.error("V233", f"the logits could not be compared: {said}", at, hint)
            case "dense":
                hint = "pass the checkpoint that the bundle was built from with --source"
                problems.error("V217", f"the dense model of the source could not be run: {said}", at, hint)
            case "forward":
                hint = "widths and modes (V208, V210) are the usual cause; a user sees this at the first prompt"
                problems.error("V211", f"the model loads, but its first forward pass fails: {said}", at, hint)
            case stage:
                hint = "this is the runtime's own message; the other findings are the likely cause"
                problems.error("V205", f"{result.loader} fails while it reads the bundle ({stage}): {said}", at, hint)


def _forward(problems: Problems, result: ProbeResult, at: Where, min_cosine: float) -> None:
    run = result.forward
    if run is not None:
        if not (run.finite and run.decoded_finite):
            which = "while it decodes" if run.finite else "of the prompt"
            hint = "a missing mode (mxfp4 read as affine) or scales outside the half type's range cause this"
            problems.error(
                "V212", f"the logits {which} are not finite, so a user gets one token repeated forever", at, hint
            )
        elif run.cached_same_argmax is False:
            problems.warn(
                "V214",
                f"a prefill with cache prefers another token than one without (largest difference "
                f"{run.cached_max_delta:.3g} at a spread of {run.std:.3g})",
                at,
                "the runtime's cache changes the result; compare with another version of it before blaming the bundle",
            )
    kinds = dict(result.dtypes)
    if kinds.get("hidden") != kinds.get("embedding"):
        problems.warn(
            "V218",
            f"the model computes in {kinds.get('hidden')} although its embedding is {kinds.get('embedding')}: "
            "this is slower, and no message says so",
            at,
            "use one half type for all scales, biases and bfloat16-origin copies of the bundle",
        )
    if result.dense is not None and result.dense.cosine < min_cosine:
        problems.error(
            "V215",
            f"the logits do not resemble the source's: cosine {result.dense.cosine:.4f}, but at least "
            f"{min_cosine:g} is needed (largest difference {result.dense.max_delta:.3g} at a spread of "
            f"{result.dense.reference_std:.3g})",
            at,
            "decode the tensors and compare each with its source (verify --source) to find the one that is wrong",
        )
    if result.decoded is not None and result.decoded.nine_in_ten < _DECODED:
        problems.error(
            "V224",
            f"the runtime's results differ from the bundle's tensors: nine positions in ten reach a cosine of "
            f"{result.decoded.nine_in_ten:.6f} to a model of the decoded tensors, but at least {_DECODED:g} is needed",
            at,
            "layout, width, seed or sidecar is wrong; see the contract step",
        )
    routed = any(".switch_mlp." in m.path and m.mode != "mxtq" for m in result.modules)
    if "mlx.core.gather_qmm" in result.replaced and routed:
        versions = dict(result.versions)
        problems.warn(
            "V219",
            f"vMLX {versions.get('vmlx', '')} with mlx-lm {versions.get('mlx-lm', '')} cannot run affine or mxfp4 "
            "experts: its gather_qmm lacks the argument global_scale; the probe put mlx's own function back",
            at,
            "the cause is the installation, not the bundle; serve it with mlx-lm 0.32.0",
        )


def _answer(problems: Problems, result: ProbeResult, at: Where) -> None:
    said = result.answer
    if said is None:
        return
    if not said.finite:
        hint = "the proof's own prompt is random ids; with this prompt of words the logits overflow"
        problems.error("V212", "the logits of the answer are not finite, so its text is arbitrary", at, hint)
    if result.expect is None or result.expect in said.text:
        return
    ended = "it ended by itself" if said.stopped else "it was cut off; --max-tokens gives it more"
    problems.error(
        "V227",
        f"the answer does not hold {result.expect!r}: it is {said.text[:_ANSWER]!r}{' …' * (len(said.text) > _ANSWER)}",
        at,
        "if every other step passes, the numbers are probably wrong; run verify --source",
        (f"{said.tokens} tokens after a prompt of {said.prompt_tokens}; {ended}",),
    )


def _files(problems: Problems, result: ProbeResult, at: Where) -> None:
    if result.changed:
        problems.error(
            "V220",
            f"the loader would rewrite {len(result.changed)} files of the bundle at first load, which changes their "
            "hashes; it was given links, so the bundle is unchanged",
            at,
            "align each tensor to its item size, and let the index name exactly the bundle's tensors",
            _listed(result.changed),
        )
    if result.touched:
        problems.error(
            "V221",
            f"{len(result.touched)} files of the bundle changed while the probe ran",
            at,
            "another process writes into the folder, or the runtime writes through links; check the hashes again",
            _listed(result.touched),
        )


def _misread(found: Misread) -> str:
    return f"{found.path} is read as {found.wrapped}, but packed as {found.packed}"


def _listed(names: Sequence[str]) -> tuple[str, ...]:
    rest = len(names) - _SHOWN
    return (*names[:_SHOWN], f"and {rest} more") if rest > 0 else tuple(names)


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= 300 else line[:300] + " …"
