"""The billing engine as the dashboard sees it: read-only, and previews that are taken back.

`company` puts it together; `opening` opens the database, the other modules each answer for one subject.
"""
