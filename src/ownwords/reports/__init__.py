"""One self-contained HTML file about one run, or several side by side: figures, pictures, and every token."""
