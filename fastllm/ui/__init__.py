"""The page: layout (components and wiring), handlers (generators), render and charts (pure), theme (palette)."""
