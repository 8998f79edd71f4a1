"""What the entries of CLUE's tasks share: its page, its paper, its archives.

Their checksums are recorded by a third party for these addresses (huggingface/datasets,
datasets/clue/dataset_infos.json at 040102f100), none was computed by this project; CLUE replaces
archives in place, as it did for TNEWS and CLUEWSC in 2021.

    archive("tnews_public.zip", "77c4…").url
"""

from hanmo.tasks.task import Download

PAGE = "https://github.com/CLUEbenchmark/CLUE"
PAPER = "Xu et al. 2020, CLUE: A Chinese Language Understanding Evaluation Benchmark"
LICENCE = "none stated; CLUE refers to the pages of the original datasets"
SPLITS = {"train": ("train.json",), "dev": ("dev.json",), "test": ("test.json",)}
# FewCLUE's files of the same form are taken too; they have other numbers of rows.
FEW_SPLITS = {
    "train": ("train.json", "train_few_all.json"),
    "dev": ("dev.json", "dev_few_all.json"),
    "test": ("test.json", "test_public.json"),
}
WARM_UP = "warm-up: default of CLUE's run_classifier.py"


def script(task: str, commit: str) -> str:
    """Return the source of settings that are those of CLUE's script for a task."""
    return f"CLUE@{commit} baselines/models/bert/run_classifier_{task}.sh; {WARM_UP}"


def archive(name: str, sha256: str = "") -> tuple[Download, ...]:
    """Return CLUE's archive of a task with the three files of its splits."""
    members = {file: file for files in SPLITS.values() for file in files}
    url = f"https://storage.googleapis.com/cluebenchmark/tasks/{name}"
    return (Download(url, name, sha256, members),)
