"""scikit-learn's handwritten digits as ten hospitals, and what strategies make of them."""
