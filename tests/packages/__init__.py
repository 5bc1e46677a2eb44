"""What the project is deployed with: images, charts, units, alerts and dashboards."""
