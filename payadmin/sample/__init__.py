"""The demo's history: real purchase card payments, bundled with the package, told in payadmin's words."""
