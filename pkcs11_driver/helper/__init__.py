"""The program beside the token: pairs with the service by a code, and does one job."""
