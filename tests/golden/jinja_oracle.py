"""Renders a chat template with jinja2, in the environment that transformers sets up."""
import datetime
import os
import time

import jinja2
from transformers.utils.chat_template_utils import _cached_compile_jinja_template

os.environ["TZ"] = "UTC"
time.tzset()


def compile_template(source, now):
    template = _cached_compile_jinja_template(source)
    moment = datetime.datetime.fromtimestamp(now)
    template.globals["strftime_now"] = moment.strftime
    return template


def render(source, variables, now):
    """("text", result), ("raised", words of raise_exception) or ("error", any other reason)."""
    try:
        return "text", compile_template(source, now).render(**variables)
    except jinja2.exceptions.TemplateError as error:
        if type(error) is jinja2.exceptions.TemplateError:
            return "raised", str(error.message)
        return "error", f"{type(error).__name__}: {error}"
    except Exception as error:  # whatever Python code of a template may raise
        return "error", f"{type(error).__name__}: {error}"
