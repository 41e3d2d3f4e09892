"""What is read from captures and answers: spectra, probes, logit lens, accuracies, errors."""
