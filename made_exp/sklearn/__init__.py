"""Estimators of scikit-learn around `fit`: a density, a classifier and an imputer."""

try:
    import sklearn.utils.validation

    sklearn.utils.validation.validate_data  # noqa: B018
except (ImportError, AttributeError) as error:
    raise ImportError(
        "made_exp.sklearn needs scikit-learn 1.6 or later: pip install 'made-exp[sklearn]'"
    ) from error

from made_exp.sklearn.classifier import MADEClassifier
from made_exp.sklearn.density import MADEDensity
from made_exp.sklearn.imputer import MADEImputer

__all__ = ["MADEClassifier", "MADEDensity", "MADEImputer"]
