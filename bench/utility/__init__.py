"""What privacy costs a model: trainings in this process by the code that trains for real."""
