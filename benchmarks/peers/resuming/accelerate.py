"""Accelerate: `save_state`, `load_state`, `skip_first_batches`, and its sampler for orders that repeat."""

from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from torch import Tensor
from torch.nn import functional as F

from resuming.job import EPOCHS, STEPS_PER_EPOCH, Job, adam, loader, state


def run(job: Job) -> list[Tensor]:
    set_seed(0)
    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True))
    network = job.network()
    model, optimizer, rows = accelerator.prepare(network, adam(network), loader())
    step = 0
    if job.resumed:
        accelerator.load_state(str(job.folder / "state"))
        step = job.every
    epoch, seen = divmod(step, STEPS_PER_EPOCH)
    for number in range(epoch, EPOCHS):
        rows.set_epoch(number)
        for x, y in accelerator.skip_first_batches(rows, seen) if seen else rows:
            optimizer.zero_grad()
            accelerator.backward(F.cross_entropy(model(x), y))
            optimizer.step()
            step += 1
            if step == job.every:
                accelerator.save_state(str(job.folder / "state"))
        seen = 0
    return state(network)
