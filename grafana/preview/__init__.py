"""A preview of the dashboards without a Grafana server: recorded answers, a page that draws them, pictures of it."""
