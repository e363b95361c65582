"""What is true about money, errors and states everywhere: pure Python, no Flask, no SQLAlchemy."""
