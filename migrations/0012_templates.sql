-- Templates of workspaces: plans that were found to work, with how often they did. Owner: agent.

create table env_templates (
  template_id uuid        not null,
  version     integer     not null check (version > 0),
  -- nobody's where DevStudio brings it along
  user_id     uuid,
  built_in    text        not null default '',
  name        text        not null,
  about       text        not null default '',
  -- an EnvPlan, as JSON
  plan        jsonb       not null,
  uses        integer     not null default 0,
  successes   integer     not null default 0,
  created_at  timestamptz not null default now(),
  constraint env_templates_pkey primary key (template_id, version),
  check ((user_id is null) = (built_in <> ''))
);
create index env_templates_of_user on env_templates (user_id, template_id, version desc);
create unique index env_templates_name on env_templates (user_id, name, version);

alter table env_plans add column template_id uuid, add column template_version integer;

insert into env_templates (template_id, version, built_in, name, about, plan) values
('00000000-0000-7000-8000-000000000001', 1, 'python-cli', 'Python command line', 'A command-line program with arguments and a test, from Python''s own library.',
$plan${
 "summary": "A Python program with arguments, and a test of it",
 "files": [
  {
   "path": "main.py",
   "text": "\"\"\"A command-line program: greets whoever it is told to.\"\"\"\n\nimport argparse\n\n\ndef greeting(name: str, loud: bool = False) -> str:\n    \"\"\"The greeting; in capitals where it is loud.\"\"\"\n    text = f\"Hello, {name}.\"\n    return text.upper() if loud else text\n\n\ndef main() -> None:\n    parser = argparse.ArgumentParser(description=__doc__)\n    parser.add_argument(\"name\", nargs=\"?\", default=\"world\", help=\"whom to greet\")\n    parser.add_argument(\"--loud\", action=\"store_true\", help=\"in capitals\")\n    options = parser.parse_args()\n    print(greeting(options.name, options.loud))\n\n\nif __name__ == \"__main__\":\n    main()\n",
   "reason": "the program"
  },
  {
   "path": "test_main.py",
   "text": "import unittest\n\nfrom main import greeting\n\n\nclass Greeting(unittest.TestCase):\n    def test_it_greets_by_name(self):\n        self.assertEqual(greeting(\"Ada\"), \"Hello, Ada.\")\n\n    def test_loud_is_in_capitals(self):\n        self.assertEqual(greeting(\"Ada\", loud=True), \"HELLO, ADA.\")\n\n\nif __name__ == \"__main__\":\n    unittest.main()\n",
   "reason": "its test"
  }
 ],
 "commands": [
  {
   "argv": [
    "python3",
    "-B",
    "main.py",
    "--loud"
   ]
  },
  {
   "argv": [
    "python3",
    "-B",
    "-m",
    "unittest",
    "-q"
   ]
  }
 ]
}$plan$),
('00000000-0000-7000-8000-000000000002', 1, 'node-module', 'Node module', 'A JavaScript module with a program and a test, from Node''s own test runner.',
$plan${
 "summary": "A Node module, a program that uses it, and a test",
 "files": [
  {
   "path": "package.json",
   "text": "{\n  \"name\": \"words\",\n  \"version\": \"0.1.0\",\n  \"private\": true,\n  \"type\": \"module\",\n  \"scripts\": {\n    \"start\": \"node index.js\",\n    \"test\": \"node --test\"\n  }\n}\n",
   "reason": "names it and its scripts"
  },
  {
   "path": "words.js",
   "text": "/** Counts the words of a text. */\nexport function count(text) {\n  return text.split(/\\s+/).filter(Boolean).length;\n}\n",
   "reason": "the module"
  },
  {
   "path": "index.js",
   "text": "import { count } from \"./words.js\";\n\nconst text = process.argv.slice(2).join(\" \") || \"three small words\";\nconsole.log(`${count(text)} words`);\n",
   "reason": "the program"
  },
  {
   "path": "words.test.js",
   "text": "import assert from \"node:assert/strict\";\nimport { test } from \"node:test\";\n\nimport { count } from \"./words.js\";\n\ntest(\"words are counted whatever stands between them\", () => {\n  assert.equal(count(\"  one\\ttwo\\nthree \"), 3);\n  assert.equal(count(\"\"), 0);\n});\n",
   "reason": "its test"
  }
 ],
 "commands": [
  {
   "argv": [
    "node",
    "index.js",
    "a",
    "b"
   ]
  },
  {
   "argv": [
    "node",
    "words.test.js"
   ]
  }
 ]
}$plan$),
('00000000-0000-7000-8000-000000000003', 1, 'bash-tool', 'Shell script', 'A Bash script with options, help and a test.',
$plan${
 "summary": "A Bash script with options, and a test of it",
 "files": [
  {
   "path": "tool.sh",
   "text": "#!/usr/bin/env bash\n# Counts the lines of files, or of what comes in.\nset -euo pipefail\n\nusage() {\n  echo \"usage: tool.sh [--total] [FILE...]\"\n}\n\ntotal=false\ncase \"${1:-}\" in\n  -h | --help) usage; exit 0 ;;\n  --total) total=true; shift ;;\n  -*) usage >&2; exit 2 ;;\nesac\n\nif \"$total\"; then\n  cat -- \"$@\" | wc -l\nelse\n  wc -l \"$@\"\nfi\n",
   "reason": "the script"
  },
  {
   "path": "test.sh",
   "text": "#!/usr/bin/env bash\n# Tests tool.sh.\nset -euo pipefail\n\nis() {\n  if [ \"$1\" != \"$2\" ]; then\n    echo \"expected $2, got $1\" >&2\n    exit 1\n  fi\n}\n\nis \"$(printf 'a\\nb\\n' | bash tool.sh --total | tr -d ' ')\" 2\nbash tool.sh --help | grep -q usage\nif bash tool.sh --wrong 2> /dev/null; then exit 1; fi\necho \"all well\"\n",
   "reason": "its test"
  }
 ],
 "commands": [
  {
   "argv": [
    "bash",
    "test.sh"
   ]
  }
 ]
}$plan$),
('00000000-0000-7000-8000-000000000004', 1, 'c-program', 'C program', 'A C program with a module, a Makefile and a test.',
$plan${
 "summary": "A C program with a Makefile and a test",
 "files": [
  {
   "path": "sum.h",
   "text": "#ifndef SUM_H\n#define SUM_H\n\n/* The sum of so many numbers. */\nlong sum(const int *numbers, unsigned long count);\n\n#endif\n",
   "reason": "what the module offers"
  },
  {
   "path": "sum.c",
   "text": "#include \"sum.h\"\n\nlong sum(const int *numbers, unsigned long count) {\n    long total = 0;\n    for (unsigned long i = 0; i < count; i++) total += numbers[i];\n    return total;\n}\n",
   "reason": "the module"
  },
  {
   "path": "main.c",
   "text": "#include <stdio.h>\n#include <stdlib.h>\n\n#include \"sum.h\"\n\nint main(int argc, char **argv) {\n    int numbers[64];\n    unsigned long count = 0;\n    for (int i = 1; i < argc && count < 64; i++) numbers[count++] = atoi(argv[i]);\n    printf(\"%ld\\n\", sum(numbers, count));\n    return 0;\n}\n",
   "reason": "the program"
  },
  {
   "path": "Makefile",
   "text": "CFLAGS = -std=c11 -O1 -Wall -Wextra\n\nsum: main.c sum.c sum.h\n\tgcc $(CFLAGS) -o sum main.c sum.c\n\ntest: sum\n\ttest \"$$(./sum 1 2 3)\" = 6\n\nclean:\n\trm -f sum\n\n.PHONY: test clean\n",
   "reason": "builds and tests it"
  }
 ],
 "commands": [
  {
   "argv": [
    "bash",
    "-c",
    "gcc -std=c11 -Wall -o /tmp/sum main.c sum.c && test $(/tmp/sum 1 2 3) = 6"
   ]
  }
 ]
}$plan$),
('00000000-0000-7000-8000-000000000005', 1, 'web-page', 'Web page', 'A page with style and script, served by Python for the preview.',
$plan${
 "summary": "A page, its style and its script, and a server for the preview",
 "files": [
  {
   "path": "index.html",
   "text": "<!doctype html>\n<html lang=\"en\">\n  <head>\n    <meta charset=\"utf-8\">\n    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n    <title>Counter</title>\n    <link rel=\"stylesheet\" href=\"style.css\">\n  </head>\n  <body>\n    <main>\n      <h1>Counter</h1>\n      <button type=\"button\" id=\"more\">Clicked <span id=\"count\">0</span> times</button>\n    </main>\n    <script src=\"script.js\"></script>\n  </body>\n</html>\n",
   "reason": "the page"
  },
  {
   "path": "style.css",
   "text": "body {\n  display: grid;\n  min-height: 100vh;\n  margin: 0;\n  place-items: center;\n  font-family: system-ui, sans-serif;\n}\n\nbutton {\n  padding: 0.6rem 1rem;\n  font: inherit;\n}\n",
   "reason": "its style"
  },
  {
   "path": "script.js",
   "text": "const count = document.querySelector(\"#count\");\ndocument.querySelector(\"#more\").addEventListener(\"click\", () => {\n  count.textContent = String(Number(count.textContent) + 1);\n});\n",
   "reason": "its script"
  },
  {
   "path": "serve.py",
   "text": "\"\"\"Serves this folder on port 8000, for the preview.\"\"\"\n\nimport http.server\n\nif __name__ == \"__main__\":\n    http.server.ThreadingHTTPServer((\"\", 8000), http.server.SimpleHTTPRequestHandler).serve_forever()\n",
   "reason": "serves it"
  }
 ],
 "commands": [
  {
   "argv": [
    "python3",
    "-B",
    "-c",
    "import html.parser, pathlib, serve; html.parser.HTMLParser().feed(pathlib.Path('index.html').read_text())"
   ]
  }
 ]
}$plan$);

-- Setting up as a task, and an agent that words tasks.
alter table tasks drop constraint tasks_kind;
alter table tasks add constraint tasks_kind
  check (kind in ('code', 'test', 'design', 'review', 'fix', 'docs', 'provision'));
update agents set tools = '{write_file,edit_file,run_exec,read_file,search,ask_user,finish}' where agent_id = 'provisioner';
insert into agents (agent_id, name, description, avatar, system_prompt, tools, temperature, max_tokens) values
('enhancer', 'Enhancer', 'Words what a person wants so that agents can work on it.', 'EN',
 'You word tasks for programming agents. Write the task anew in the language it is written in: what is wanted, in which files, and how one sees that it is done. A few short sentences. Keep every name and number; add nothing that was not asked for. Answer with the task alone.',
 '{}', 0.3, 400);

do $$
begin
  if exists (select 1 from pg_roles where rolname = 'devstudio_agent') then
    grant select, insert, update, delete on env_templates to devstudio_agent;
  end if;
end
$$;
