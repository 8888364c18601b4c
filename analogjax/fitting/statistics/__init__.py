"""What measured statistics say of devices: likelihoods, levels, relaxation, switching, noise."""
