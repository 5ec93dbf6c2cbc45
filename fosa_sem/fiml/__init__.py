"""Full-information maximum likelihood: one likelihood, the saturated EM, the optimiser, the engines."""
