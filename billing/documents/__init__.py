"""Documents that are sent: invoices and credit notes as facts, JSON and PDF. They only read."""
