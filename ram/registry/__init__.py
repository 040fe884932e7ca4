"""Models as MLflow keeps them: packaged, registered, promoted, rolled back, compared, and made anew from what they name."""
