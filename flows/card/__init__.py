"""The step `report`: the gate, the figures and the page."""
