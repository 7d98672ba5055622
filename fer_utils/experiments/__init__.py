from fer_utils.experiments.as_recorded import recorded_experiment, recorded_table

__all__ = ["recorded_experiment", "recorded_table"]
