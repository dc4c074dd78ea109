"""What an operator runs beside the services: topics, access rules, and the doctor."""
