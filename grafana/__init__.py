"""Makes Grafana's dashboards and provisioning: two languages, and a query dialect for each kind of database."""
