"""A thin client of the billing API.

with Tajdid("https://billing.example.com", key) as api:
    for customer in api.customers.list(overdue_state="suspended"):
        print(customer["name"])
"""

from tajdid_client.calling import Answer, Held, Problem, tag_of
from tajdid_client.operations import Tajdid

__all__ = ["Answer", "Held", "Problem", "Tajdid", "tag_of"]
