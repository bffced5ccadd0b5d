"""Arguments of its own on Locust's command line."""

from locust import HttpUser, constant, events, task


@events.init_command_line_parser.add_listener
def _(parser):
    parser.add_argument("--greeting", type=str, env_var="LOCUST_GREETING", default="hello", help="A word")
    parser.add_argument("--secret", include_in_web_ui=False, required=True)


@events.test_start.add_listener
def show(environment, **_kwargs):
    print(f"greeting {environment.parsed_options.greeting}")


class Greeter(HttpUser):
    wait_time = constant(0.05)

    @task
    def greet(self):
        self.client.get(f"/{self.environment.parsed_options.greeting}/{self.environment.parsed_options.secret}")
