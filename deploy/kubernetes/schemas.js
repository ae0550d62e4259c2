// Validates Kubernetes objects against the schemas of kubernetes-models. Called by check.py:
//
//     node schemas.js FOLDER <objects.json      FOLDER has node_modules; prints a line per finding
//
// Two passes, because the published schemas accept unknown fields: their validators check values (required,
// types, choices, patterns), and TypeScript finds fields that do not exist.
"use strict";

const fs = require("fs");
const path = require("path");

const folder = path.resolve(process.argv[2]);
const load = (name) => require(require.resolve(name, { paths: [folder] }));
const objects = JSON.parse(fs.readFileSync(0, "utf8"));
let findings = 0;

function report(where, what) {
  findings++;
  console.log(`${where}: ${what}`);
}

function checkValues({ where, object }, name) {
  let model;
  try {
    model = load(`kubernetes-models/${object.apiVersion}/${object.kind}`)[object.kind];
  } catch {
    report(where, `there is no ${object.apiVersion} ${object.kind}`);
    return false;
  }
  try {
    new model(object).validate();
  } catch (error) {
    report(where, `${name}: ${error.message}`);
  }
  return true;
}

function checkFields(known) {
  const ts = load("typescript");
  const file = path.join(folder, "objects.ts");
  const text = known.map(({ object }, i) =>
    `import { I${object.kind} as I${i} } from "kubernetes-models/${object.apiVersion}/${object.kind}";\n` +
    `export const o${i}: I${i} = ${JSON.stringify(object, null, 1)};\n`);
  fs.writeFileSync(file, text.join(""));
  const starts = [];
  text.reduce((at, part) => (starts.push(at), at + part.length), 0);
  const program = ts.createProgram([file], { strict: true, noEmit: true, skipLibCheck: true,
    module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16,
    target: ts.ScriptTarget.ES2022, types: [] });
  for (const found of ts.getPreEmitDiagnostics(program)) {
    const at = starts.filter((start) => start <= (found.start ?? 0)).length - 1;
    const { where, object } = known[at];
    report(where, `${object.kind} ${object.metadata.name}: ` +
      ts.flattenDiagnosticMessageText(found.messageText, " ").replace(/\s+/g, " ").slice(0, 300));
  }
}

const known = objects.filter((entry) =>
  checkValues(entry, `${entry.object.kind} ${entry.object.metadata.name}`));
if (known.length) checkFields(known);
process.exitCode = findings ? 1 : 0;
