"""Charts as inline SVG strings: pure functions of records and figures, no plotting library, no network."""
