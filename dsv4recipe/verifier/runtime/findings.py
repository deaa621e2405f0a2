"""Floor 4, verifier (step 4). What a probe's result means to a user: diagnostics V200 to V233. This module is pure.

Every code is explained in docs/errors/V-runtime.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsv4recipe.errors import Diagnostic, Problems, Where
from dsv4recipe.runtimes import probes
from dsv4recipe.units import human_size
from dsv4recipe.verifier.runtime.choose import how_to_install
from dsv4recipe.verifier.runtime.probe_result import Ended, Misread, ProbeResult

_DECODED = 0.9999  # float16 against float32 of the same numbers, at nine positions in ten: 0.99997 measured
_ANSWER = 1000  # characters of an answer in a message
_SHOWN = 5  # names per finding; the whole list is in the result


def runtime_findings(result: ProbeResult, min_cosine: float = 0.5) -> tuple[Diagnostic, ...]:
    """Returns every finding of one probe, errors before warnings.

    `min_cosine`: below it the bundle's logits no longer resemble the source's. The default only catches a broken
    bundle (2-bit experts of a random source measure 0.80 to 0.86, 4-bit ones 0.9999); a recipe's own goal is higher.
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
            hint = "name a Python interpreter that has the runtime with --runtime-python"
            problems.error("V200", f"{name} did not start: {result.detail}", at, hint)
        case Ended.TIMED_OUT:
            hint = "give it more time, or a shorter prompt; 400 tokens take minutes without a GPU"
            problems.error("V202", f"{name} did not end {result.detail}", at, hint)
        case Ended.KILLED:
            hint = (
                _limit(result.memory_limit)
                if result.memory_limit
                else "SIGKILL mostly means that memory ran out: the machine must hold the whole bundle; --source takes "
                "four bytes per weight of a tiny source more"
                if "SIGKILL" in result.detail
                else "the runtime crashed; run its own loader on the bundle and report the crash to its makers"
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
    return f"the memory limit was {human_size(size)}; a process may end like this where it reaches it"


def _names(problems: Problems, result: ProbeResult, at: Where) -> None:
    lenient = result.loader in probes() and not probes()[result.loader].strict
    if result.missing:
        effect = (
            "the loader leaves them at random values without a word, and the model talks nonsense"
            if lenient
            else "the loader refuses the bundle"
        )
        problems.error(
            "V206",
            f"{len(result.missing)} parameters of the model are filled by no tensor: {effect}",
            at,
            "names on disk belong to one runtime or to universal: verify without --runtime says for which this bundle "
            "is",
            _listed(result.missing),
        )
    if result.unexpected:
        effect = "the loader drops them without a word" if lenient else "the loader refuses the bundle"
        problems.error(
            "V207",
            f"{len(result.unexpected)} tensors belong to no parameter of the model: {effect}",
            at,
            "compare the names with the model's; a prefix or a projection's name is most often wrong",
            _listed(result.unexpected),
        )
    if result.misshapen:
        problems.error(
            "V226",
            f"{len(result.misshapen)} tensors have another shape than the parameter they fill: the loader refuses the "
            "bundle",
            at,
            "most often an override is missing or wrong, so that the module was wrapped at another width (config.json)",
            _listed(result.misshapen),
        )
    if result.overrides.missed:
        problems.warn(
            "V209",
            f"{len(result.overrides.missed)} override keys of config.json name neither a module nor a tensor on disk: "
            "nothing reads them",
            at,
            "key overrides by the module path after sanitize, such as model.layers.3.self_attn.wq_a",
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
            "write an override with bits, group_size and mode under the module path after sanitize for every module "
            "that differs from the top level of config.json's quantization",
            _listed([_misread(m) for m in found]),
        )
    wrong = [f"{m.path}: loaded as {m.mode} {m.bits}-bit: {m.problem}" for m in result.modules if m.problem]
    if wrong:
        problems.error(
            "V208",
            f"{len(wrong)} modules were loaded at a width or in a mode that their tensors do not have",
            at,
            "the loader guessed: key every override by module path and by disk stem, always with mode, and put the "
            "group size into jang_config.json",
            _listed(wrong),
        )


def _failures(problems: Problems, result: ProbeResult, at: Where) -> None:
    for failure in result.failures:
        said = f"{failure.kind}: {_short(failure.message)}"
        if result.memory_limit and ("MemoryError" in failure.kind or "Unable to allocate" in failure.message):
            hint = "give it more with --memory-limit; address space is counted, which is more than what is in use"
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
                hint = "the sidecar must hold signs and codebooks of every width; tiny bundles only"
                problems.error("V225", f"the bundle's own tensors could not be decoded: {said}", at, hint)
            case "answer":
                hint = "it takes tokenizer.json, tokenizer_config.json and encoding/encoding_dsv4.py or a chat template"
                problems.error("V228", f"the question could not be answered: {said}", at, hint)
            case "compare" | "reference":
                hint = "the reference must be of the same prompt and vocabulary"
                problems.error("V233", f"the logits could not be compared: {said}", at, hint)
            case "dense":
                hint = "--source takes the checkpoint that the bundle was built from"
                problems.error("V217", f"the dense model of the source could not be run: {said}", at, hint)
            case "forward":
                hint = "widths and modes (V208, V210) are the usual cause; a user sees this at the first prompt"
                problems.error("V211", f"the model loads, and its first forward pass fails: {said}", at, hint)
            case stage:
                hint = "this is the runtime's own message; the findings beside it are the likely cause"
                problems.error("V205", f"{result.loader} fails while it reads the bundle ({stage}): {said}", at, hint)


def _forward(problems: Problems, result: ProbeResult, at: Where, min_cosine: float) -> None:
    run = result.forward
    if run is not None:
        if not (run.finite and run.decoded_finite):
            which = "while it decodes" if run.finite else "of the prompt"
            hint = "a lost mode (mxfp4 read as affine) or scales outside the half type's range do this"
            problems.error("V212", f"the logits {which} are not finite: a user gets one token for ever", at, hint)
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
            "slower, and nobody says so",
            at,
            "use one half type for all scales, biases and bfloat16-origin copies of the bundle",
        )
    if result.dense is not None and result.dense.cosine < min_cosine:
        problems.error(
            "V215",
            f"the logits do not resemble the source's: cosine {result.dense.cosine:.4f}, wanted at least "
            f"{min_cosine:g} (largest difference {result.dense.max_delta:.3g} at a spread of "
            f"{result.dense.reference_std:.3g})",
            at,
            "decode the tensors and compare each with its source (verify --source) to find the one that is wrong",
        )
    if result.decoded is not None and result.decoded.nine_in_ten < _DECODED:
        problems.error(
            "V224",
            f"the runtime computes otherwise than the bundle's tensors say: nine positions in ten reach a cosine of "
            f"{result.decoded.nine_in_ten:.6f} to a model of the decoded tensors, wanted at least {_DECODED:g}",
            at,
            "layout, width, seed or sidecar: the contract step names which",
        )
    routed = any(".switch_mlp." in m.path and m.mode != "mxtq" for m in result.modules)
    if "mlx.core.gather_qmm" in result.replaced and routed:
        versions = dict(result.versions)
        problems.warn(
            "V219",
            f"vMLX {versions.get('vmlx', '')} with mlx-lm {versions.get('mlx-lm', '')} cannot run affine or mxfp4 "
            "experts: its gather_qmm lacks the argument global_scale; the probe put mlx's own function back",
            at,
            "this is the installation, not the bundle: serve it with mlx-lm 0.32.0",
        )


def _answer(problems: Problems, result: ProbeResult, at: Where) -> None:
    said = result.answer
    if said is None:
        return
    if not said.finite:
        hint = "the prompt of the proof is random ids: this one is words, and its logits overflow"
        problems.error("V212", "the logits of the answer are not finite: what it says is arbitrary", at, hint)
    if result.expect is None or result.expect in said.text:
        return
    ended = "it ended by itself" if said.stopped else "it was cut off: --max-tokens gives it more"
    problems.error(
        "V227",
        f"the answer does not hold {result.expect!r}: it is {said.text[:_ANSWER]!r}{' …' * (len(said.text) > _ANSWER)}",
        at,
        "a bundle that passes every other step and says nonsense has lost its meaning in its numbers: verify --source",
        (f"{said.tokens} tokens after a prompt of {said.prompt_tokens}; {ended}",),
    )


def _files(problems: Problems, result: ProbeResult, at: Where) -> None:
    if result.changed:
        problems.error(
            "V220",
            f"the loader would rewrite {len(result.changed)} files of the bundle at its first load, so that their "
            "hashes change; it was given links, the bundle is as it was",
            at,
            "align each tensor to its item size and let the index name every tensor and no other",
            _listed(result.changed),
        )
    if result.touched:
        problems.error(
            "V221",
            f"{len(result.touched)} files of the bundle changed while the probe ran",
            at,
            "another process writes into the folder, or the runtime writes through links: check the hashes again",
            _listed(result.touched),
        )


def _misread(found: Misread) -> str:
    return f"{found.path}: taken for {found.wrapped}, packed as {found.packed}"


def _listed(names: Sequence[str]) -> tuple[str, ...]:
    rest = len(names) - _SHOWN
    return (*names[:_SHOWN], f"and {rest} more") if rest > 0 else tuple(names)


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= 300 else line[:300] + " …"
