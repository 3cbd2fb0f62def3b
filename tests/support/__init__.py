"""What several tests share: the simulated parts, the shared data, small builders."""
