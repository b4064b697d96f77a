export { didYouMean } from '@openline/proto/suggest';
export { coerceParameters, coerceSome } from './coerce.ts';
export { PackError, type PackIssue } from './errors.ts';
export {
  generateKeyPair,
  type KeyPairText,
  type PublicKey,
  parsePublicKey,
  parseSecretKey,
  publicKeyText,
  type SecretKey,
  signPack,
  verifyPack,
} from './minisign.ts';
export * from './monitoring.ts';
export * from './pack.ts';
export { compileParameters, type ParameterCheck } from './parameters.ts';
export { parsePack } from './parse.ts';
export { buildArgv, type ParameterEnvironment, parameterEnvironment } from './process.ts';
export { compareVersions, digestOf, isVersion } from './version.ts';
