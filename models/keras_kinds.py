"""The Keras kinds behind the common face: trained by TensorFlow, laid out by hand, compared. Imports TensorFlow."""

from __future__ import annotations

from models.architectures import Head
from models.export import export, parity
from models.kinds import OnEpoch, Task, Trained
from models.recipe import Recipe
from models.tensorflow_threads import use_threads
from models.training import fit


def fit_network(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    """Trains the recipe's network; its head starts at the task's naive forecast."""
    use_threads(task.threads)
    head = Head(task.horizons, task.naive, task.median)
    fitted = fit(recipe, task, head, on_epoch)
    graph = export(fitted.model, recipe.kind)
    return Trained(
        graph=graph,
        difference=parity(fitted.model, graph, task.parity_windows()),
        parameters=fitted.model.count_params(),
        train_loss=fitted.train_loss,
        validation_loss=fitted.validation_loss,
        best_epoch=fitted.best_epoch,
        sizes={"units": recipe.units},
        scaler="mean and standard deviation of the training windows' last rows, inside the graph",
        packages=("keras", "tensorflow"),
    )
