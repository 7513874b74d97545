"""The page: layout (components and wiring), handlers (generators), render (pure), theme (palette)."""
